//! What the options of the official command line select: each of `--version`, `--latest`, `--tag`, `--branch` and
//! `--main-branch` is about the `--pacticipant` or `--ignore` before it.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind};

use crate::{
    api::names::{Pacticipant, Version},
    decide::{Ignored, Selector, Versions},
};

/// The variable that names applications to ignore, with commas between them.
const IGNORE_VARIABLE: &str = "PACT_BROKER_CAN_I_DEPLOY_IGNORE";

/// What is selected, in the order of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selected {
    /// The applications and which versions of them.
    pub(super) selectors: Vec<Selector>,
    /// What is left out of consideration; in order.
    pub(super) ignore: Vec<Ignored>,
}

/// An option, as it was given.
#[derive(Clone, Debug)]
enum Word {
    Pacticipant(String),
    Ignore(String),
    Versions(Versions),
    /// The text of a version, or that it is not one.
    Version(String),
}

/// An application whose versions may still follow.
enum Open {
    Selected(Pacticipant, Option<Versions>),
    Ignored(Ignored),
}

impl Selected {
    /// Reads the options in their order, and the variable for what is ignored.
    fn parse(words: Vec<Word>, ignored: Option<&str>) -> Result<Self, String> {
        let mut open: Vec<Open> = Vec::new();
        for word in words {
            let versions = match word {
                Word::Pacticipant(name) => {
                    open.push(Open::Selected(pacticipant(&name)?, None));
                    continue;
                }
                Word::Ignore(name) => {
                    open.push(Open::Ignored(Ignored { pacticipant: pacticipant(&name)?, version: None }));
                    continue;
                }
                Word::Version(text) => Versions::One(Version::parse(&text).map_err(|error| error.to_string())?),
                Word::Versions(versions) => versions,
            };
            match (open.last_mut(), versions) {
                (Some(Open::Selected(_, known @ None)), versions) => *known = Some(versions),
                (Some(Open::Ignored(ignored)), Versions::One(version)) if ignored.version.is_none() => {
                    ignored.version = Some(version);
                }
                (Some(Open::Selected(name, Some(_))), _) => {
                    return Err(format!("{name} has two versions: say --pacticipant before each"));
                }
                (Some(Open::Ignored(ignored)), _) => {
                    return Err(format!("only one --version can follow --ignore {}", ignored.pacticipant));
                }
                (None, _) => return Err("a version comes before any application: say --pacticipant first".to_owned()),
            }
        }
        let mut selected = Self::default();
        for open in open {
            match open {
                Open::Ignored(ignored) => selected.ignore.push(ignored),
                Open::Selected(pacticipant, Some(versions)) => {
                    if selected.selectors.iter().any(|known| known.pacticipant == pacticipant) {
                        return Err(format!("{pacticipant} is named twice: one --pacticipant has one version"));
                    }
                    selected.selectors.push(Selector { pacticipant, versions });
                }
                Open::Selected(name, None) => {
                    return Err(format!("which version of {name}? Say --version after --pacticipant {name}"));
                }
            }
        }
        for name in ignored.into_iter().flat_map(|names| names.split(',')).filter(|name| !name.trim().is_empty()) {
            selected.ignore.push(Ignored { pacticipant: pacticipant(name)?, version: None });
        }
        selected.ignore.sort();
        selected.ignore.dedup();
        Ok(selected)
    }
}

fn pacticipant(name: &str) -> Result<Pacticipant, String> {
    Pacticipant::parse(name).map_err(|error| error.to_string())
}

/// What an option with a text means.
type ReadWord = fn(String) -> Word;

/// The options with a text, and what they mean.
const OPTIONS: [(&str, ReadWord); 6] = [
    ("pacticipant", Word::Pacticipant),
    ("version", Word::Version),
    ("latest", |tag| Word::Versions(if tag.is_empty() { Versions::Latest } else { Versions::LatestTagged(tag) })),
    ("tag", |tag| Word::Versions(Versions::Tagged(tag))),
    ("branch", |branch| Word::Versions(Versions::LatestOfBranch(branch))),
    ("ignore", Word::Ignore),
];

const MAIN_BRANCH: &str = "main-branch";

impl Args for Selected {
    fn augment_args(command: Command) -> Command {
        let option = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append);
        command.args([
            option("pacticipant").short('a').value_name("NAME").help(
                "An application; may be repeated: they are judged as deployed together. Each of the five options below is \
                 about the one before it",
            ),
            option("version").short('e').value_name("VERSION").help("This version of it"),
            option("branch").value_name("BRANCH").help("The latest version of this branch of it"),
            option(MAIN_BRANCH)
                .num_args(0)
                .default_missing_value("")
                .help("The latest version of the branch that the broker has as its main one"),
            option("latest").short('l').value_name("TAG").num_args(0..=1).default_missing_value("").help(
                "The version of it that was published last, or the last one with this tag",
            ),
            option("tag").alias("all").value_name("TAG").help("Each version of it with this tag"),
            option("ignore").value_name("NAME").help(
                "An application that the check leaves out, or with --version after it, only that version; may be repeated. \
                 Also PACT_BROKER_CAN_I_DEPLOY_IGNORE, with commas",
            ),
        ])
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Selected {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut words: Vec<(usize, Word)> = Vec::new();
        for (name, read) in OPTIONS {
            let texts = matches.get_many::<String>(name).into_iter().flatten().cloned();
            words.extend(matches.indices_of(name).into_iter().flatten().zip(texts.map(read)));
        }
        let main = matches.indices_of(MAIN_BRANCH).into_iter().flatten();
        words.extend(main.map(|index| (index, Word::Versions(Versions::LatestOfMainBranch))));
        words.sort_by_key(|(index, _)| *index);
        let words = words.into_iter().map(|(_, word)| word).collect();
        let ignored = std::env::var(IGNORE_VARIABLE).ok();
        Self::parse(words, ignored.as_deref())
            .map_err(|problem| Error::raw(ErrorKind::ValueValidation, format!("{problem}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "selected_tests.rs"]
mod tests;
