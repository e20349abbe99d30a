//! Ending in good order: the first SIGTERM or SIGINT asks, the second one insists.

use std::future::Future;
use std::io;
use std::pin::pin;

use futures::{Stream, StreamExt};
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
        /// The exit code that says so: 128 plus the number of the signal.
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
    async fn work_that_ends_by_itself_is_not_asked() {
        let asked = CancellationToken::new();
        assert_eq!(run_until(pending(), asked.clone(), async { 7 }).await, Outcome::Finished(7));
        assert!(!asked.is_cancelled());
    }

    #[tokio::test]
    async fn the_first_signal_asks_and_the_work_ends_in_good_order() {
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
