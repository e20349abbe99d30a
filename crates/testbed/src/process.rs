//! Child processes that never outlive this process, however it ends.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// Runs the program named by the arguments and waits on a pipe that only this process holds open. When the pipe closes,
/// because the [`Process`] was dropped or because this process died by SIGKILL, panic or Ctrl-C, the program is killed.
/// `$0` is the file that gets the program's pid; fd 3 is the pipe, since a job in the background reads /dev/null.
const KEEPER: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
echo $program > "$0"
( read -r _ <&3; kill -9 $program 2>/dev/null ) &
watcher=$!
exec 3<&-
wait $program
status=$?
rm -f "$0"
kill -9 $watcher 2>/dev/null
exit $status
"#;

/// Removes the folder named by `$0` once the pipe closes; again and again, since the processes that still write there
/// are being killed at the same moment.
const SWEEPER: &str = r#"
read -r _
tries=100
while [ -e "$0" ] && [ $tries -gt 0 ]; do rm -rf "$0" 2>/dev/null; tries=$((tries - 1)); sleep 0.1; done
"#;

/// A running child process. Dropping it kills the child (SIGKILL) and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid_file: PathBuf,
    keeper: Child,
}

impl Process {
    /// Starts `command`; its output goes to `NAME.log` in `folder`, appended.
    ///
    /// The child is in its own process group: Ctrl-C at the terminal does not reach it.
    ///
    /// # Panics
    /// When the program does not exist or cannot be started.
    pub fn start(name: &str, folder: &Path, command: &Command) -> Self {
        let program = Path::new(command.get_program());
        assert!(program.exists(), "{name}: there is no program {}", program.display());
        let log = folder.join(format!("{name}.log"));
        let pid_file = folder.join(format!("{name}.pid"));
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(KEEPER).arg(&pid_file).arg(program).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => keeper.env(key, value),
                None => keeper.env_remove(key),
            };
        }
        keeper.current_dir(command.get_current_dir().unwrap_or(folder));
        keeper.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out).process_group(0);
        let keeper = keeper.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), log, pid_file, keeper }
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id of the program itself; `None` before it runs and after it ended.
    pub fn pid(&self) -> Option<u32> {
        fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()
    }

    /// Whether the program has ended, and how: its exit code, or 128 + the signal that ended it.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.keeper.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Sends a signal, e.g. `KILL`, `TERM`, `STOP`, `CONT`. Nothing happens when the program has ended.
    pub fn signal(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            let _ = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).stderr(Stdio::null()).status();
        }
    }

    /// SIGKILL, and waits until the program is gone.
    pub fn kill9(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }

    /// Waits until the program has ended by itself and gives its exit code.
    ///
    /// # Panics
    /// When it still runs after `timeout`.
    pub async fn wait(&mut self, timeout: Duration) -> i32 {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            if let Some(code) = self.exit_code() {
                return code;
            }
            assert!(tokio::time::Instant::now() < deadline, "{} still runs after {timeout:?}", self.name);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Everything it has written so far.
    pub fn logs(&self) -> String {
        read_lossy(&self.log)
    }

    /// Resident memory in bytes (Linux). `None` when it does not run.
    pub fn rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// A temporary folder that is removed when this value is dropped or the process ends by any cause.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    sweeper: Option<Child>,
}

impl Folder {
    /// Makes a new folder; with `TESTBED_KEEP` in the environment it stays, and its path is printed.
    pub fn new() -> Self {
        let path = tempfile::Builder::new().prefix("testbed-").tempdir().unwrap().keep();
        if kept() {
            eprintln!("testbed: keeping {}", path.display());
            return Self { path, sweeper: None };
        }
        let mut sweeper = Command::new("sh");
        sweeper.arg("-c").arg(SWEEPER).arg(&path).current_dir("/");
        sweeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let sweeper = sweeper.spawn().expect("sh runs");
        Self { path, sweeper: Some(sweeper) }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(sweeper) = &mut self.sweeper {
            drop(sweeper.stdin.take());
            let _ = sweeper.wait();
        }
    }
}

/// Whether `TESTBED_KEEP` asks to leave things behind.
pub fn kept() -> bool {
    std::env::var_os("TESTBED_KEEP").is_some_and(|value| !value.is_empty())
}

/// A TCP port of 127.0.0.1 that nothing listens on now, and that this function has not returned before.
///
/// Another process could take it before it is used; the kernel chooses at random among thousands, so that is rare.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

fn read_lossy(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
