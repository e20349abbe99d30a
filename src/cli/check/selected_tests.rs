//! The order of the options decides what they are about.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    selected: Selected,
    #[arg(long)]
    to_environment: Option<String>,
}

fn selected(line: &[&str]) -> Result<Selected, String> {
    let line = ["check"].iter().chain(line);
    Line::try_parse_from(line).map(|line| line.selected).map_err(|error| error.to_string())
}

fn shown(line: &[&str]) -> (Vec<String>, Vec<String>) {
    let Selected { selectors, ignore } = selected(line).unwrap();
    let ignored = |it: &Ignored| match &it.version {
        Some(version) => format!("{} {version}", it.pacticipant),
        None => it.pacticipant.to_string(),
    };
    (selectors.iter().map(ToString::to_string).collect(), ignore.iter().map(ignored).collect())
}

#[test]
fn each_version_is_of_the_application_before_it_wherever_other_options_stand() {
    for (line, selectors, ignored) in [
        (&["-a", "web", "-e", "1"][..], &["web 1"][..], &[][..]),
        (&["--pacticipant=web", "--version=1"], &["web 1"], &[]),
        // The official command line drops the version here without a word.
        (&["--pacticipant", "web", "--to-environment", "test", "--version", "2"], &["web 2"], &[]),
        (&["-a", "web", "-e", "1", "-a", "api", "-e", "2"], &["web 1", "api 2"], &[]),
        (&["-a", "web", "--branch", "feat/x"], &["web (latest of branch feat/x)"], &[]),
        (
            &["-a", "web", "--main-branch", "-a", "api", "--main-branch"],
            &["web (latest of its main branch)", "api (latest of its main branch)"],
            &[],
        ),
        (&["-a", "web", "--latest", "--to-environment", "test"], &["web (latest)"], &[]),
        (&["-a", "web", "-l", "prod"], &["web (latest with tag prod)"], &[]),
        (&["-a", "web", "-l", "-a", "api", "-l", "prod"], &["web (latest)", "api (latest with tag prod)"], &[]),
        (&["-a", "web", "--tag", "prod"], &["web (each with tag prod)"], &[]),
        (
            &["-a", "web", "-e", "1", "--ignore", "api", "--version", "3", "--ignore", "bar"],
            &["web 1"],
            &["api 3", "bar"],
        ),
        (&["--ignore", "api", "-a", "web", "-e", "1"], &["web 1"], &["api"]),
    ] {
        let (found, left_out) = shown(line);
        assert_eq!(
            (found.as_slice(), left_out.as_slice()),
            (texts(selectors).as_slice(), texts(ignored).as_slice()),
            "{line:?}"
        );
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn what_cannot_be_followed_is_refused_with_the_remedy() {
    for (line, says) in [
        (&["-e", "1", "-a", "web"][..], "say --pacticipant first"),
        (&["-a", "web"], "Say --version after --pacticipant web"),
        (&["-a", "web", "-a", "api", "-e", "1"], "Say --version after --pacticipant web"),
        (&["-a", "web", "-e", "1", "-e", "2"], "say --pacticipant before each"),
        (&["-a", "web", "-e", "1", "--branch", "main"], "say --pacticipant before each"),
        (&["-a", "web", "-e", "1", "-a", "web", "-e", "2"], "web is named twice"),
        (
            &["-a", "web", "-e", "1", "--ignore", "api", "--branch", "main"],
            "only one --version can follow --ignore api",
        ),
        (&["-a", " ", "-e", "1"], "the pacticipant name is empty"),
        (&["-a", "web", "-e", ""], "empty"),
    ] {
        let refused = selected(line).unwrap_err();
        assert!(refused.contains(says), "{line:?}: {refused}");
    }
}

#[test]
fn the_variable_adds_to_what_is_ignored() {
    let words = || vec![Word::Pacticipant("web".into()), Word::Version("1".into()), Word::Ignore("bar".into())];
    let selected = Selected::parse(words(), Some("api, bar,,")).unwrap();
    let names: Vec<_> = selected.ignore.iter().map(|it| it.pacticipant.as_str()).collect();
    assert_eq!(names, ["api", "bar"]);
}
