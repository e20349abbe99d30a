//! The command line: arguments, wiring, output for people.

mod check;
mod cluster_name;
mod controller;
mod crds;
mod process;
mod self_test;
mod webhook;

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
    /// Ask whether a version may be deployed to an environment, as the gate asks.
    Check(Box<check::CheckArguments>),
    /// Check an installed operator: ask the API server for its gate, and the brokers; say what is not in force.
    SelfTest(Box<self_test::SelfTestArguments>),
    /// Print the custom resource definitions as YAML, for `kubectl apply --server-side -f -`.
    Crds(crds::CrdsArguments),
}

/// Runs the program with the arguments of the process and returns its exit code: 0 success, 1 failure, 2 bad arguments.
#[must_use]
pub fn run() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Controller(arguments) => controller::run(*arguments),
        Verb::Webhook(arguments) => webhook::run(*arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::SelfTest(arguments) => self_test::run(*arguments),
        Verb::Crds(arguments) => crds::run(&arguments),
    }
}
