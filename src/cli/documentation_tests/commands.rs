//! Every command of ours in the documentation can be followed: its verb and its options are there.

use clap::Parser;

use super::{pages, read};
use crate::cli::Arguments;

/// The words of a command, up to what a shell does with its output.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for char in command.chars() {
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (None, '"' | '\'') => quote = Some(char),
            (None, '|' | '>' | ';' | '&' | '#') => break,
            (None, _) if char.is_whitespace() => words.push(String::new()),
            _ => words.last_mut().unwrap().push(char),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The commands in prose, between backticks: those with more than a verb, which is often only named.
fn inline(text: &str) -> Vec<Vec<String>> {
    let quoted = regex::Regex::new(r"`(pact-operator [a-z][^`]*)`").unwrap();
    let found = quoted.captures_iter(text).map(|found| words(&found[1]));
    found.filter(|words| words.len() > 2).collect()
}

/// The commands in a text, from `pact-operator` on: those on lines of code, whatever stands before them.
fn commands(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let mut fenced = false;
    let mut found = Vec::new();
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if !fenced && !line.starts_with("    ") {
            continue;
        }
        let ours = line.match_indices("pact-operator ").map(|(at, _)| at);
        let begins = |at: &usize| {
            let before = line[..*at].trim_end();
            before.is_empty() || before.ends_with(['$', '|', ':', '-', ';'])
        };
        found.extend(ours.filter(begins).map(|at| words(&line[at..])));
    }
    found
}

#[test]
fn the_words_of_a_command_end_where_the_shell_takes_over() {
    assert_eq!(
        words("pact-operator check -a \"$NAME\" -o junit > 'a file'"),
        ["pact-operator", "check", "-a", "$NAME", "-o", "junit"]
    );
    let text = "see pact-operator check\n\n    $ x | pact-operator check \\\n        -f -\n    Deployment pact-operator runs\n";
    assert_eq!(commands(text), [["pact-operator", "check", "-f", "-"].map(str::to_owned).to_vec()]);
}

#[test]
fn every_command_of_the_documentation_can_be_followed() {
    let mut count = 0;
    // The page of the command line has the parser's own lines of usage.
    for page in pages().into_iter().filter(|page| page != "docs/reference/cli.md") {
        let text = read(&page);
        for command in [commands(&text), inline(&text)].concat() {
            count += 1;
            if let Err(refused) = Arguments::try_parse_from(&command) {
                panic!("{page}: {}\n{refused}", command.join(" "));
            }
        }
    }
    assert!(count >= 20, "only {count} commands were found");
}

#[test]
fn every_target_of_make_that_is_named_is_there() {
    let named = regex::Regex::new(r"(?m)(?:`|^ {4,})make ([a-z0-9-]+)").unwrap();
    let makefile = read("Makefile");
    let mut count = 0;
    for page in pages().into_iter().chain(["CONTRIBUTING.md".to_owned()]) {
        for target in named.captures_iter(&read(&page)) {
            count += 1;
            assert!(makefile.contains(&format!("\n{}:", &target[1])), "{page}: there is no make {}", &target[1]);
        }
    }
    assert!(count >= 20, "only {count} were found");
}
