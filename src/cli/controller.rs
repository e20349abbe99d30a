//! `pact-operator controller`.

use std::process::ExitCode;

use clap::Args;

/// Arguments of the verb `controller`.
#[derive(Args, Debug)]
pub(super) struct ControllerArguments {}

pub(super) fn run(_arguments: ControllerArguments) -> ExitCode {
    ExitCode::SUCCESS
}
