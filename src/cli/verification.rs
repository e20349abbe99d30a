//! The arguments by which the controller knows whom to ask for verifications.

use std::path::PathBuf;

use clap::Args;

use super::process::Failure;
use crate::notifier::verification::VerificationSettings;

/// Who is asked for the verification of a pact that has no result.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct VerificationArguments {
    /// A file with the hooks that are asked to verify pacts without a result, as the chart writes it from its value
    /// `verification`. Without it nobody is asked.
    #[arg(long, value_name = "FILE")]
    verification: Option<PathBuf>,
    /// A folder with a folder for each hook, of the hook's name: a file `token` for GitHub and GitLab; `headers` and `url` as
    /// for --cdevents-secrets. They are read anew for each call.
    #[arg(long, value_name = "FOLDER", default_value = "/verification/secrets")]
    verification_secrets: PathBuf,
}

impl VerificationArguments {
    /// The settings, if there are any.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(super) fn settings(&self) -> Result<Option<VerificationSettings>, Failure> {
        let Some(file) = &self.verification else { return Ok(None) };
        let read = VerificationSettings::read(file, &self.verification_secrets);
        Ok(Some(read.map_err(|error| format!("--verification {}: {error}", file.display()))?))
    }
}
