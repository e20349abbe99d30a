//! The command line: arguments, wiring, output for people.

mod broker_connection;
mod check;
mod cluster_name;
mod columns;
mod completions;
mod controller;
mod crds;
mod doctor;
mod explain;
mod installed;
mod listed_workloads;
mod man;
mod matrix;
mod notifications;
mod process;
mod reached_brokers;
mod retire;
mod self_test;
mod status;
mod verification;
mod webhook;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps a Pact Broker right about what runs in a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "pact-operator", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Watch workloads and keep the broker's records right.
    Controller(Box<controller::ControllerArguments>),
    /// Answer admission reviews: stop rollouts that fail can-i-deploy.
    Webhook(Box<webhook::WebhookArguments>),
    /// Ask whether versions may be deployed to an environment, as the gate asks; takes the options of can-i-deploy.
    #[command(visible_alias = "can-i-deploy")]
    Check(Box<check::CheckArguments>),
    /// Ask whether a version gets along with the main branches of all others, as before a merge.
    CanIMerge(Box<check::MergeArguments>),
    /// Show what runs, what is recorded, and what the gate says of it.
    Status(status::StatusArguments),
    /// Explain one workload: how its version is found, where it is recorded and judged, and what would change that.
    Explain(explain::ExplainArguments),
    /// Say why a version may not be deployed, and the smallest way to a yes.
    Why(Box<why::WhyArguments>),
    /// Show the whole picture: what runs in each environment, and whether it gets along; `--html` writes a page of it.
    Matrix(Box<matrix::MatrixArguments>),
    /// Examine an installation: what is wrong with it, each with its remedy.
    Doctor(Box<doctor::DoctorArguments>),
    /// Take back at the broker what the operator recorded for a namespace, an environment, an application or a cluster.
    Retire(Box<retire::RetireArguments>),
    /// Check an installed operator: ask the API server for its gate, and the brokers; say what is not in force.
    SelfTest(Box<self_test::SelfTestArguments>),
    /// Print the custom resource definitions as YAML, for `kubectl apply --server-side -f -`.
    Crds(crds::CrdsArguments),
    /// Print what completes this command line in a shell.
    Completions(completions::CompletionsArguments),
    /// Print the manual page.
    Man(man::ManArguments),
}

/// The exit code when a command line cannot be followed: `EX_USAGE` of sysexits.h. Smaller ones are answers.
const USAGE: u8 = 64;

/// Runs the program with the arguments of the process and returns its exit code: 0 success, 1 failure, 64 bad arguments;
/// the verbs that ask a broker say theirs in their help.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(said) => {
            // Nobody is there to be told when this fails.
            drop(said.print());
            return if said.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match arguments.verb {
        Verb::Controller(arguments) => controller::run(*arguments),
        Verb::Webhook(arguments) => webhook::run(*arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::CanIMerge(arguments) => check::run_merge(&arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Why(arguments) => why::run(&arguments),
        Verb::Matrix(arguments) => matrix::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Retire(arguments) => retire::run(&arguments),
        Verb::SelfTest(arguments) => self_test::run(*arguments),
        Verb::Crds(arguments) => crds::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
    }
}

#[cfg(test)]
mod documentation_tests;
