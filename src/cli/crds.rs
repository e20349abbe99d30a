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

/// As YAML that kubectl reads as we mean it: to a parser of YAML 1.1 a bare `Off` is a boolean.
fn yaml(definition: &CustomResourceDefinition) -> io::Result<String> {
    let text = serde_yaml_ng::to_string(definition).map_err(io::Error::other)?;
    let quoted = text.lines().map(|line| match line.rsplit_once(' ') {
        Some((before, word))
            if BOOLEANS.contains(&word.to_ascii_lowercase().as_str()) && before.ends_with(['-', ':']) =>
        {
            format!("{before} \"{word}\"\n")
        }
        _ => format!("{line}\n"),
    });
    Ok(quoted.collect())
}

/// What YAML 1.1 takes for booleans and YAML 1.2 does not.
const BOOLEANS: [&str; 6] = ["y", "yes", "n", "no", "on", "off"];

#[cfg(test)]
#[path = "crds_tests.rs"]
mod tests;
