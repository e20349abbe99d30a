//! The official `pact` command line, as people run it: found or installed on first use.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::standin::StandIn;

/// The package and its version, exactly: `1!` is an epoch, and the command line that it holds is pact-broker-cli 0.9.0.
const PACKAGE: &str = "pact-python-cli==1!0.10.9";
/// What `pact broker --version` prints for it.
const VERSION: &str = "pact-broker 0.9.0";

/// The program: the one that `PACT_CLI` names, else a `pact` on the path if it is of the pinned version, else one
/// installed into `${XDG_CACHE_HOME:-~/.cache}/pact-operator/pact-cli`. Installing takes seconds, needs `python3` with
/// `venv`, and prints on stderr what it installs; a lock keeps other processes waiting meanwhile.
///
/// # Panics
/// When it can be neither found nor installed, with the reason.
pub fn pact_cli() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(named) = std::env::var_os("PACT_CLI") {
            return PathBuf::from(named);
        }
        let on_path = PathBuf::from("pact");
        if is_pinned(&on_path) { on_path } else { installed() }
    })
}

fn is_pinned(program: &Path) -> bool {
    let asked = Command::new(program).args(["broker", "--version"]).stdin(Stdio::null()).output();
    asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == VERSION)
}

fn installed() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).expect("a home folder");
    let folder = cache.join("pact-operator");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    let lock = File::create(folder.join("pact-cli.lock")).expect("a lock file in the cache folder");
    lock.lock().expect("a lock on a file of our own");
    let venv = folder.join("pact-cli");
    let program = venv.join("bin/pact");
    if !is_pinned(&program) {
        eprintln!("Installing {PACKAGE} (the official pact command line, 11 MB) into {} ...", venv.display());
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", PACKAGE]));
        assert!(is_pinned(&program), "{} does not call itself {VERSION}", program.display());
    }
    program
}

fn run(command: &mut Command) {
    let status =
        command.stdin(Stdio::null()).status().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(status.success(), "{command:?} failed ({status}); its reason is above");
}

/// The output of the command line, and its exit code.
#[derive(Debug)]
pub struct CommandOutput {
    /// The exit code.
    pub code: i32,
    /// Standard output and standard error.
    pub text: String,
}

impl CommandOutput {
    /// Asserts the exit code and that the output contains each of these texts.
    #[track_caller]
    pub fn expect(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.text);
        for text in texts {
            assert!(self.text.contains(text), "{text:?} is missing in\n{}", self.text);
        }
    }
}

/// Runs `pact broker …` against a stand-in, without retries, proxies or settings of the environment.
pub fn pact_broker(broker: &StandIn, arguments: &[&str]) -> CommandOutput {
    let mut command = Command::new(pact_cli());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PACT_") || name.to_lowercase().ends_with("_proxy")) {
            command.env_remove(name);
        }
    }
    command.env("PACT_BROKER_BASE_URL", broker.url()).env("PACT_BROKER_HTTP_RETRIES", "1").stdin(Stdio::null());
    let Output { status, stdout, stderr } =
        command.arg("broker").args(arguments).output().expect("the pact command line runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    CommandOutput { code: status.code().unwrap_or(-1), text }
}
