//! The picture in a terminal.

use crate::{
    cli::columns::{COLUMNS, Shade, columns, line, painted},
    decide::messages::{one_line, shortened},
    overview::{Environment, Overview, State, headline::Tone},
};

/// The picture: whether something is wrong, then each environment with its pairs, the worst first.
pub(super) fn render(overview: &Overview, colour: bool) -> String {
    let (tone, headline) = overview.headline();
    let mut text = vec![format!("{}\n", painted(&headline, shade(tone), colour))];
    text.extend(overview.environments.iter().map(|environment| one(environment, colour)));
    text.concat()
}

fn one(environment: &Environment, colour: bool) -> String {
    let broker = environment.broker.as_ref().map(|broker| format!(" at {broker}")).unwrap_or_default();
    let title = format!("{}{broker}", environment.name);
    let mut text = vec![format!("\n{}: {}\n", one_line(&title), counts(environment))];
    text.extend(environment.notice.as_ref().map(|notice| format!("{notice}\n")));
    if !environment.pairs.is_empty() {
        text.push(pairs(environment, colour));
    }
    text.extend(environment.chosen().map(|chosen| format!("{chosen}\n")));
    let alone = |name| environment.all_pairs().all(|pair| !pair.is_about(name));
    let alone: Vec<_> = (environment.applications.iter().map(|it| &it.pacticipant))
        .filter(|name| alone(name))
        .map(|name| one_line(name.as_str()))
        .collect();
    if !alone.is_empty() && environment.known {
        text.push(format!("{}\n", shortened(&format!("without a pair here: {}", alone.join(", ")), COLUMNS)));
    }
    text.concat()
}

fn counts(environment: &Environment) -> String {
    if !environment.known {
        return "not known".to_owned();
    }
    let counted = State::ALL.into_iter().map(|state| (environment.count(state), state.label()));
    let counted = counted.chain([(environment.ignored(), "ignored")]).filter(|(count, _)| *count > 0);
    let counted: Vec<_> = counted.map(|(count, label)| format!("{count} {label}")).collect();
    if counted.is_empty() { "no pairs".to_owned() } else { counted.join(", ") }
}

fn pairs(environment: &Environment, colour: bool) -> String {
    let head = ["STATE", "CONSUMER", "VERSION", "PROVIDER", "VERSION", "NOTES"].map(str::to_owned);
    let rows = environment.pairs.iter().map(|it| {
        let pair = &it.pair;
        let notes = it.notes().join(", ");
        [
            it.state().label().to_owned(),
            one_line(pair.consumer.as_str()),
            one_line(pair.consumer_version.as_str()),
            one_line(pair.provider.as_str()),
            pair.provider_version.as_ref().map_or_else(|| "-".to_owned(), |version| one_line(version.as_str())),
            if notes.is_empty() { "-".to_owned() } else { notes },
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut text = Vec::new();
    for (number, mut cells) in columns(&rows).into_iter().enumerate() {
        if let Some(relation) = number.checked_sub(1).map(|number| &environment.pairs[number]) {
            let tone = if relation.ignored { Tone::Unsure } else { Tone::of(relation.state()) };
            cells[0] = painted(&cells[0], shade(tone), colour);
        }
        text.push(line(&cells));
    }
    text.concat()
}

const fn shade(tone: Tone) -> Shade {
    match tone {
        Tone::Good => Shade::Good,
        Tone::Unsure => Shade::Unsure,
        Tone::Bad => Shade::Bad,
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
