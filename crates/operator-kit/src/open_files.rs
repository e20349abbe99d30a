//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Raises the limit to `wanted`, or as near to it as the system lets us, and gives what it is then. Container runtimes
/// start processes with 1,024, which a neighbour's connections use up, though as much as is wanted here is allowed.
pub fn raise(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit is as good as the one that is wanted.
    let (Some(current), allowed) = (current, maximum.unwrap_or(wanted)) else { return wanted };
    let raised = wanted.min(allowed);
    if current >= raised {
        if current < wanted {
            warn!(limit = current, wanted, "few files can be open at once, so fewer connections are served");
        }
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => {
            debug!(from = current, to = raised, "raised the limit of open files");
            raised
        }
        Err(error) => {
            warn!(%error, limit = current, wanted, "cannot raise the limit of open files, so fewer connections are served");
            current
        }
    }
}

/// How many files may be open now.
#[must_use]
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_108_the_limit_is_raised_as_far_as_the_system_allows() {
        const CHILD: &str = "OPEN_FILES_TEST_WITH_FEW";
        let Ok(expected) = std::env::var(CHILD) else {
            // In processes of their own, since the limit applies to the whole process.
            for (limits, expected) in
                [("ulimit -Sn 64 && ulimit -Hn 300", "200"), ("ulimit -n 100", "100"), ("ulimit -n 300", "300")]
            {
                let (_, module) = module_path!().split_once("::").unwrap();
                let test = format!("{module}::case_108_the_limit_is_raised_as_far_as_the_system_allows");
                let mut command = std::process::Command::new("sh");
                command.args(["-c", &format!("{limits} && exec \"$0\" --exact \"$1\"")]);
                command.arg(std::env::current_exe().unwrap()).arg(test).env(CHILD, expected);
                let output = command.output().unwrap();
                let stdout = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success() && stdout.contains("1 passed"), "{limits}: {stdout}");
            }
            return;
        };
        let limit = raise(200);
        assert_eq!((limit.to_string(), super::limit()), (expected, limit));
    }
}
