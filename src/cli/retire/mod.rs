//! `pact-operator retire`: takes back at the broker what the operator recorded for a namespace, an environment, an
//! application or the whole cluster: for what goes for good, and has no controller any more that would do it (case 51).

mod gathered;
mod running;
mod text;

use std::{
    collections::BTreeMap,
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use clap::{ArgGroup, Args};

use self::gathered::{Gathered, Item, NotDone, selected};
use super::{
    broker_connection::{BrokerConnection, SeveralBrokers},
    check::Outcome,
    columns::colourful,
    installed::Installed,
    process::{self, Failure},
    reached_brokers::{ReachedBrokers, SecretsArguments},
};
use crate::{
    broker::BaseUrl,
    decide::{messages, record::Retirement},
};

const VERB: &str = "retire";

/// Arguments of the verb `retire`.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(true),
    after_help = "Only rows that the operator wrote and that still carry its version are taken back; each is read before and \
                  after. The broker is reached as the operator reaches it, or at --broker-base-url.\n\nExit codes: 0 all is \
                  done; 1 something was refused or failed; 2 something could not be told; 64 the command line cannot be \
                  followed, or nobody is there to be asked and --yes is not given: nothing was done."
)]
pub(super) struct RetireArguments {
    #[command(flatten)]
    which: Which,
    /// Take back what still runs, too. The broker then says that it is gone, and can-i-deploy no longer asks whether a
    /// version gets along with it.
    #[arg(long)]
    even_if_running: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Only list what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: BrokerConnection,
    #[command(flatten)]
    secrets: SecretsArguments,
}

/// Which records: those for which all that is given holds.
#[derive(Args, Clone, Debug, Default)]
struct Which {
    /// What workloads of this namespace run, or ran last.
    #[arg(long, short, value_name = "NAME", group = "which")]
    namespace: Option<String>,
    /// What is recorded in this environment, by its name at the broker.
    #[arg(long, value_name = "NAME", group = "which")]
    environment: Option<String>,
    /// What is recorded of this application.
    #[arg(long, short = 'a', value_name = "NAME", group = "which")]
    pacticipant: Option<String>,
    /// All that this cluster's operator recorded.
    #[arg(long, group = "which", conflicts_with_all = ["namespace", "environment", "pacticipant"])]
    cluster: bool,
}

/// Runs the verb.
pub(super) fn run(arguments: &RetireArguments) -> ExitCode {
    process::ended(VERB, SeveralBrokers::as_usage(VERB, process::on_this_thread(retire(arguments))))
}

async fn retire(arguments: &RetireArguments) -> Result<u8, Failure> {
    let client = process::api_server().await?;
    let installed = Installed::read(&client).await?;
    let (connection, secrets) = (&arguments.connection, &arguments.secrets);
    connection.keeps_its_secrets()?;
    let mut out = io::stdout();
    let which = &arguments.which;
    if let Some(unknown) = text::unknown(&installed, which.environment.as_deref(), which.pacticipant.as_deref()) {
        out.write_all(unknown.as_bytes())?;
        return Ok(Outcome::NoAnswer.exit_code());
    }
    let selected = selected(&installed, which);
    connection.is_of_all(selected.keys().map(|key| &key.environment_ref))?;
    let reaching = ReachedBrokers { verb: VERB, client: &client, connection, secrets };
    let mut gathered = Gathered::read(&reaching, &installed, selected, arguments.even_if_running).await;
    if gathered.items.is_empty() {
        out.write_all(text::nothing(&installed).as_bytes())?;
        return Ok(Outcome::Yes.exit_code());
    }
    if let Some(url) = connection.url() {
        writeln!(out, "the broker at {} is asked, and not at the address of a PactBroker\n", BaseUrl::parse(url)?)?;
    }
    out.write_all(text::plan(&gathered.items, colourful()).as_bytes())?;
    let due = gathered.items.iter().filter(|item| item.is_due()).count();
    let outcome = gathered.items.iter().map(outcome).max().unwrap_or(Outcome::Yes);
    if arguments.dry_run {
        writeln!(out, "\na dry run: nothing was done")?;
        return Ok(outcome.exit_code());
    }
    if due == 0 {
        let what = if outcome == Outcome::Yes { "there is nothing to take back" } else { "nothing was done" };
        let left = text::afterwards(&settled(&gathered.items, &BTreeMap::new()));
        write!(out, "\n{what}\n{left}")?;
        return Ok(outcome.exit_code());
    }
    if !arguments.yes {
        let stdin = io::stdin();
        match agreed(stdin.is_terminal(), &mut stdin.lock(), due)? {
            Some(true) => {}
            Some(false) => {
                writeln!(out, "nothing was done")?;
                return Ok(Outcome::No.exit_code());
            }
            None => {
                let said = "nobody is at a terminal to be asked, so nothing was done; give --yes, or look first with --dry-run";
                writeln!(io::stderr(), "pact-operator {VERB}: {said}")?;
                return Ok(super::USAGE);
            }
        }
        gathered.look_again(&client, &installed).await;
    }
    Ok(take_back(&gathered, &reaching, outcome).await.exit_code())
}

/// Takes back what is due, and says what became of it.
async fn take_back(gathered: &Gathered, reaching: &ReachedBrokers<'_>, before: Outcome) -> Outcome {
    let mut outcome = before;
    say("\n");
    let mut ended = BTreeMap::new();
    for (number, item) in gathered.items.iter().enumerate().filter(|(_, item)| item.is_due()) {
        let one = gathered.take_back(reaching, item).await;
        say(&text::result(item, &one, colourful()));
        match &one {
            Ok(()) => {}
            Err(NotDone::Failed(_)) => outcome = outcome.max(Outcome::No),
            Err(NotDone::Unknown(_)) => outcome = outcome.max(Outcome::NoAnswer),
        }
        ended.insert(number, one);
    }
    say(&text::afterwards(&settled(&gathered.items, &ended)));
    outcome
}

/// Says what was done. Nobody may read standard output any more (`| head`): that is no reason to stop half way, and then it is
/// said where errors are.
fn say(text: &str) {
    let mut out = io::stdout();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

/// What became of each item.
fn settled<'a>(items: &'a [Item], ended: &BTreeMap<usize, Result<(), NotDone>>) -> Vec<(&'a Item, text::Settled)> {
    let one = |(number, item): (usize, &'a Item)| {
        let settled = match (&item.retirement, ended.get(&number)) {
            (_, Some(Ok(()))) => text::Settled::Done,
            (Ok(Retirement::Nothing), _) => text::Settled::Nothing,
            _ => text::Settled::Left,
        };
        (item, settled)
    };
    items.iter().enumerate().map(one).collect()
}

/// What an item means for whoever asked, before anything is done.
fn outcome(item: &Item) -> Outcome {
    match &item.retirement {
        // What is not the operator's is not to be taken back.
        Ok(Retirement::TakeBack(..) | Retirement::Nothing | Retirement::Kept(..)) => Outcome::Yes,
        Ok(Retirement::Refused(..)) => Outcome::No,
        Ok(Retirement::Unsure(..) | Retirement::Unreadable) | Err(_) => Outcome::NoAnswer,
    }
}

/// Asks whoever sits at the terminal; `None` when nobody does.
fn agreed(terminal: bool, input: &mut impl BufRead, rows: usize) -> Result<Option<bool>, Failure> {
    if !terminal {
        return Ok(None);
    }
    write!(io::stderr(), "\nTake back {} at the broker? [y/N] ", messages::counted(rows, "row"))?;
    io::stderr().flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_of_somebody_at_a_terminal_is_one() {
        for (terminal, typed, expected) in [
            (true, "y\n", Some(true)),
            (true, "Y\n", Some(true)),
            (true, "yes\n", Some(true)),
            (true, "\n", Some(false)),
            (true, "", Some(false)),
            (true, "n\n", Some(false)),
            (true, "yup, why not\n", Some(false)),
            (false, "y\n", None),
        ] {
            assert_eq!(agreed(terminal, &mut typed.as_bytes(), 2).unwrap(), expected, "{typed:?}");
        }
    }
}
