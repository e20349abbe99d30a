//! `pact-operator crds`: prints the custom resource definitions, which are checked in under `crds/`.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::api::{PactBroker, PactDeployment, PactEnvironment, PactRecord};

/// Arguments of the verb `crds`.
#[derive(Args, Debug)]
pub(super) struct CrdsArguments {
    /// Write one file for each kind into this folder instead of printing them all.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &CrdsArguments) -> ExitCode {
    match write(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "pact-operator crds: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn write(arguments: &CrdsArguments) -> io::Result<()> {
    let definitions = [PactBroker::crd(), PactEnvironment::crd(), PactDeployment::crd(), PactRecord::crd()];
    let mut out = io::stdout().lock();
    for definition in definitions {
        let yaml = yaml(&definition)?;
        match &arguments.output {
            None => write!(out, "---\n{yaml}")?,
            Some(folder) => {
                fs::create_dir_all(folder)?;
                fs::write(folder.join(format!("{}.yaml", definition.spec.names.plural)), yaml)?;
            }
        }
    }
    Ok(())
}

fn yaml(definition: &CustomResourceDefinition) -> io::Result<String> {
    let yaml = serde_yaml_ng::to_string(definition).map_err(io::Error::other)?;
    Ok(yaml.lines().flat_map(|line| [quoted(line), "\n".to_owned()]).collect())
}

/// The line with quotes around words that kubectl and helm, which read YAML 1.1, would read as booleans: our writer
/// follows YAML 1.2, where `Off` and `no` are strings.
fn quoted(line: &str) -> String {
    let text = line.trim_start_matches([' ', '-']);
    let (indent, text) = line.split_at(line.len() - text.len());
    let word = |word: &str| if misread(word) { format!("\"{word}\"") } else { word.to_owned() };
    match text.split_once(':') {
        Some((key, "")) => format!("{indent}{}:", word(key)),
        Some((key, value)) if value.starts_with(' ') => format!("{indent}{}: {}", word(key), word(&value[1..])),
        None if indent.ends_with("- ") => format!("{indent}{}", word(text)),
        _ => line.to_owned(),
    }
}

/// Whether YAML 1.1 has a boolean where YAML 1.2 has a string.
fn misread(word: &str) -> bool {
    ["y", "yes", "on", "n", "no", "off"].contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
#[path = "crds_tests.rs"]
mod tests;
