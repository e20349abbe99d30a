//! Graceful shutdown: the first SIGTERM or SIGINT requests it, the second one ends the process at once.

use std::future::Future;
use std::io;
use std::pin::pin;

use futures::{Stream, StreamExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The result of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The work ended by itself, requested or not.
    Finished(T),
    /// The work was dropped, because a second signal arrived before it had ended.
    Abandoned {
        /// The exit code for the signal: 128 plus its number.
        exit_code: u8,
    },
}

/// The signals that ask a process to end. While a value of this type exists, they do not kill the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the signal handlers.
    ///
    /// # Errors
    /// When the operating system refuses to install a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal: its name and number.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 15),
            _ = self.interrupt.recv() => ("SIGINT", 2),
        }
    }

    /// Runs `work`. The first signal cancels `asked`, and `work` should then end gracefully; a second one drops it.
    ///
    /// A library must not end the process, so the second signal is an [`Outcome::Abandoned`], which `main` turns into
    /// an exit code. Tasks that `work` spawned run until the runtime is dropped: `main` should then end the runtime
    /// with `shutdown_background`, which does not wait for tasks.
    pub async fn run<T>(self, asked: CancellationToken, work: impl Future<Output = T>) -> Outcome<T> {
        let signals = futures::stream::unfold(self, |mut signals| async { Some((signals.next().await, signals)) });
        run_until(signals, asked, work).await
    }
}

async fn run_until<T>(
    signals: impl Stream<Item = (&'static str, u8)>,
    asked: CancellationToken,
    work: impl Future<Output = T>,
) -> Outcome<T> {
    let mut work = pin!(work);
    let mut signals = pin!(signals);
    tokio::select! {
        done = &mut work => return Outcome::Finished(done),
        Some((signal, _)) = signals.next() => {
            info!(signal, "shutting down; a second signal ends the process at once");
        }
    }
    asked.cancel();
    tokio::select! {
        done = &mut work => Outcome::Finished(done),
        Some((signal, number)) = signals.next() => {
            warn!(signal, "second signal: ending at once");
            Outcome::Abandoned { exit_code: 128 + number }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{pending, repeat};

    use super::*;

    #[tokio::test]
    async fn work_that_ends_by_itself_is_not_cancelled() {
        let asked = CancellationToken::new();
        assert_eq!(run_until(pending(), asked.clone(), async { 7 }).await, Outcome::Finished(7));
        assert!(!asked.is_cancelled());
    }

    #[tokio::test]
    async fn the_first_signal_lets_the_work_end_gracefully() {
        let asked = CancellationToken::new();
        let signals = futures::stream::iter([("SIGTERM", 15)]).chain(pending());
        let work = async {
            asked.cancelled().await;
            tokio::task::yield_now().await;
            "drained"
        };
        assert_eq!(run_until(signals, asked.clone(), work).await, Outcome::Finished("drained"));
    }

    #[tokio::test]
    async fn the_second_signal_does_not_wait_for_the_work() {
        let asked = CancellationToken::new();
        let work = std::future::pending::<()>();
        let outcome = run_until(repeat(("SIGINT", 2)), asked.clone(), work).await;
        assert_eq!(outcome, Outcome::Abandoned { exit_code: 130 });
        assert!(asked.is_cancelled());
    }
}
