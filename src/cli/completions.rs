//! `pact-operator completions`: prints what completes this command line in a shell.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Arguments;

/// Arguments of the verb `completions`.
#[derive(Args, Debug)]
pub(super) struct CompletionsArguments {
    /// The shell: `source <(pact-operator completions bash)`.
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionsArguments) -> ExitCode {
    match io::stdout().write_all(&script(arguments.shell)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "pact-operator", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What bash offers at the end of a command line.
    fn offered(line: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, script(Shell::Bash)).unwrap();
        let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let ask = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD={}; \"$(complete -p pact-operator | sed 's/.*-F \\([^ ]*\\).*/\\1/')\" pact-operator '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display(),
            line.len() - 1,
            line[line.len() - 1],
            line[line.len() - 2],
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn bash_completes_verbs_and_options() {
        assert_eq!(offered(&["pact-operator", "expl"]), ["explain"]);
        assert!(offered(&["pact-operator", "check", "--to-env"]).contains(&"--to-environment".to_owned()));
    }
}
