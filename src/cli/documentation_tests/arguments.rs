//! The page of the command line, from the parser's own description of it.

use clap::{Arg, Command, CommandFactory};

use super::{GENERATED, cell, is_as_generated};
use crate::cli::Arguments;

#[test]
fn the_page_of_the_command_line_is_what_the_parser_says() {
    let mut program = Arguments::command();
    program.build();
    let mut page = format!(
        "{GENERATED}# The command line\n\nThe verbs of `pact-operator`, which is also `kubectl pact`. `--help` of each says the \
         same.\n"
    );
    for verb in program.get_subcommands_mut().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        page += &of_verb(verb);
    }
    is_as_generated("docs/reference/cli.md", &page);
}

fn of_verb(verb: &mut Command) -> String {
    let usage = verb.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let aliases: Vec<_> = verb.get_visible_aliases().map(|alias| format!(" Also: `{alias}`.")).collect();
    let arguments: String =
        verb.get_arguments().filter(|it| !it.is_hide_set() && it.get_id() != "help").map(row).collect();
    let after = verb.get_after_help().map(|text| format!("\n{text}\n")).unwrap_or_default();
    let end = if about.ends_with('.') { "" } else { "." };
    format!(
        "\n## {}\n\n{about}{end}{}\n\n    {usage}\n\n| option | default | |\n|---|---|---|\n{arguments}{after}",
        verb.get_name(),
        aliases.concat(),
    )
}

fn row(argument: &Arg) -> String {
    let value = argument.get_action().takes_values().then(|| {
        let names = argument.get_value_names().unwrap_or_default();
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    });
    let option = match (argument.get_long(), argument.get_short()) {
        (Some(long), Some(short)) => format!("--{long}, -{short}"),
        (Some(long), None) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => String::new(),
    };
    let option = [option, value.unwrap_or_default()].join(" ");
    let shown = |it: &std::ffi::OsStr| format!("`{}`", it.to_string_lossy());
    // A switch has the default `false`, which says nothing.
    let defaults = argument.get_default_values().iter().filter(|_| argument.get_action().takes_values());
    let default = defaults.map(|it| shown(it)).collect::<Vec<_>>().join(", ");
    let mut text = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    if !text.ends_with('.') {
        text.push('.');
    }
    let values: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|it| !it.is_hide_set())
        .map(|it| format!("`{}`", it.get_name()))
        .collect();
    if argument.get_action().takes_values() && !values.is_empty() {
        text = format!("{text} One of {}.", values.join(", "));
    }
    if let Some(variable) = argument.get_env() {
        text = format!("{text} Also the variable {}.", shown(variable));
    }
    format!("| `{}` | {default} | {} |\n", option.trim(), cell(&text))
}
