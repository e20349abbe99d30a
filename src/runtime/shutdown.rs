//! Ending in good order: the first SIGTERM or SIGINT asks, the second one insists.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It ended by itself, asked or not.
    Finished(T),
    /// It was dropped where it stood, because a second signal came before it had ended.
    Abandoned {
        /// The exit code that tells so: 128 plus the number of the signal.
        exit_code: u8,
    },
}

/// The signals that ask a process to end. From the moment this exists they no longer kill the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the operating system refuses to install a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one: its name and number.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.interrupt.recv() => ("SIGINT", 2),
        }
    }

    /// Runs `work`. The first signal cancels `asked`, upon which `work` should end in good order; a second one drops it.
    ///
    /// A library must not end the process, so the second signal is an [`Outcome::Abandoned`] for `main` to turn into
    /// an exit code. Tasks that `work` spawned live on until the runtime is dropped: `main` should then end the
    /// runtime with `shutdown_background`, which waits for nobody.
    pub async fn run<T>(mut self, asked: CancellationToken, work: impl Future<Output = T>) -> Outcome<T> {
        let mut work = std::pin::pin!(work);
        let (name, _) = tokio::select! {
            done = &mut work => return Outcome::Finished(done),
            signal = self.next() => signal,
        };
        info!(signal = name, "shutting down; a second signal ends the process at once");
        asked.cancel();
        tokio::select! {
            done = &mut work => Outcome::Finished(done),
            (name, number) = self.next() => {
                warn!(signal = name, "second signal: ending at once");
                Outcome::Abandoned { exit_code: 128 + number }
            }
        }
    }
}
