//! The tests' stand-in broker as a program of its own:
//! `cargo run --example broker -- --port 9292`, until Ctrl-C.
#![allow(clippy::print_stdout, reason = "people run it and read where it listens")]

use std::net::IpAddr;
use std::process::ExitCode;

use clap::Parser;

use testbed::standin::{Auth, Options, StandIn};

/// A stand-in Pact Broker that keeps everything in memory.
#[derive(Parser)]
struct Arguments {
    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 9292)]
    port: u16,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Serve below this path, as behind an ingress.
    #[arg(long)]
    path_prefix: Option<String>,
    /// Ask for these credentials: `user:password` for basic authentication, or a bearer token without a colon.
    #[arg(long)]
    auth: Option<String>,
    /// An environment to start with, by name; may be repeated. Without any: test and production.
    #[arg(long = "environment")]
    environments: Vec<String>,
}

fn auth_of(text: &str) -> Auth {
    match text.split_once(':') {
        Some((user, pass)) => Auth::Basic { user: user.to_owned(), pass: pass.to_owned() },
        None => Auth::Bearer(text.to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        port: Some(arguments.port),
        bind: Some(arguments.bind),
        path_prefix: arguments.path_prefix,
        auth: arguments.auth.as_deref().map(auth_of),
        base_url_in_links: None,
        seed_example_environments: arguments.environments.is_empty(),
    };
    let broker = StandIn::start_with(options).await;
    for name in &arguments.environments {
        broker.store().add_environment(name, name.starts_with("prod"));
    }
    println!("{}", broker.url());
    match tokio::signal::ctrl_c().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
