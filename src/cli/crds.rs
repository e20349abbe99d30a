//! `pact-operator crds`: prints the custom resource definitions, which `crds/` holds checked in.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::api::{PactBroker, PactDeployment, PactEnvironment};

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
    let definitions = [PactBroker::crd(), PactEnvironment::crd(), PactDeployment::crd()];
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

/// The line, with quotes around a word that kubectl and helm, which read YAML 1.1, would take for a boolean: our writer
/// follows YAML 1.2, where `Off` is a string.
fn quoted(line: &str) -> String {
    const BOOLEANS: [&str; 8] = ["y", "yes", "on", "n", "no", "off", "true", "false"];
    let Some((before, word)) = line.rsplit_once(' ') else { return line.to_owned() };
    let is_value = before.ends_with(':') || before.trim_start() == "-";
    // What is `true` or `false` in lower case is one, in either version.
    let misread = BOOLEANS.contains(&word.to_lowercase().as_str()) && !matches!(word, "true" | "false");
    if is_value && misread { format!("{before} \"{word}\"") } else { line.to_owned() }
}

#[cfg(test)]
#[path = "crds_tests.rs"]
mod tests;
