//! `pact-operator man`: prints the manual page of the command, or of one verb.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::{Arguments, USAGE};

/// Arguments of the verb `man`.
#[derive(Args, Debug)]
pub(super) struct ManArguments {
    /// The verb whose page it is, for `pact-operator man check | man -l -`; without one it is the page of all.
    verb: Option<String>,
}

pub(super) fn run(arguments: &ManArguments) -> ExitCode {
    let page = page(arguments.verb.as_deref());
    match page.map(|page| io::stdout().write_all(&page)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(problem) => {
            drop(writeln!(io::stderr(), "pact-operator man: {problem}"));
            ExitCode::from(USAGE)
        }
    }
}

/// The page in the language of man.
fn page(verb: Option<&str>) -> Result<Vec<u8>, String> {
    let mut all = Arguments::command();
    // It gives each verb its whole name.
    all.build();
    let command = match verb {
        None => all,
        Some(verb) => {
            let found = all.find_subcommand(verb).cloned();
            found.ok_or_else(|| format!("there is no verb {verb}: pact-operator --help lists them"))?
        }
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| error.to_string())?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_of_all_and_one_of_each_verb() {
        let text = |verb| String::from_utf8(page(verb).unwrap()).unwrap();
        assert!(
            text(None).contains("pact\\-operator\\-check(1)") || text(None).contains("pact-operator-check(1)"),
            "{}",
            text(None)
        );
        for verb in Arguments::command().get_subcommands() {
            let page = text(Some(verb.get_name()));
            assert!(page.starts_with(".ie") && page.contains(".SH SYNOPSIS"), "{page}");
        }
        assert!(page(Some("chek")).unwrap_err().contains("there is no verb chek"));
    }
}
