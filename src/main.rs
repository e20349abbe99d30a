//! The program `pact-operator`: see the library for everything it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    pact_operator::cli::run()
}
