//! Something costly that tests share: it is started for the first of them, and ends soon after the last one.
//!
//! A control plane that idles until the test program ends takes a tenth of a core, and its operator another: a dozen of
//! them slow down whatever runs after them.

use std::{ops::Deref, sync::Arc, thread, time::Duration};

use tokio::sync::Mutex;

/// How long it is kept while no test uses it, in checks of a second each.
const LINGER: u32 = 5;

/// What tests share. To be held in a `static`.
#[derive(Debug, Default)]
pub struct Shared<T: 'static> {
    started: Mutex<Option<Arc<T>>>,
}

/// What is shared, for as long as a test holds this.
#[derive(Debug)]
pub struct InUse<T>(Arc<T>);

impl<T> Clone for InUse<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for InUse<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// Nothing is started yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { started: Mutex::const_new(None) }
    }

    /// What is shared; started now when it is not there.
    pub async fn get(&'static self, start: impl AsyncFnOnce() -> T) -> InUse<T> {
        let mut started = self.started.lock().await;
        if let Some(shared) = &*started {
            return InUse(Arc::clone(shared));
        }
        let shared = Arc::new(start().await);
        *started = Some(Arc::clone(&shared));
        drop(started);
        thread::spawn(move || self.end_when_idle());
        InUse(shared)
    }

    fn end_when_idle(&self) {
        let mut idle = 0;
        while idle < LINGER {
            thread::sleep(Duration::from_secs(1));
            // Whoever starts it holds the lock for as long as that takes.
            let mut started = self.started.blocking_lock();
            let used = started.as_ref().is_some_and(|shared| Arc::strong_count(shared) > 1);
            idle = if used { 0 } else { idle + 1 };
            if idle == LINGER {
                drop(started.take());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    static RUNNING: AtomicU32 = AtomicU32::new(0);

    struct Costly(u32);

    impl Costly {
        async fn start() -> Self {
            tokio::task::yield_now().await;
            Self(RUNNING.fetch_add(1, Ordering::SeqCst))
        }
    }

    impl Drop for Costly {
        fn drop(&mut self) {
            RUNNING.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn it_is_started_once_kept_while_it_is_used_and_ended_when_idle() {
        static SHARED: Shared<Costly> = Shared::new();
        // As tests do: each with a runtime of its own.
        let used = || tokio::runtime::Runtime::new().unwrap().block_on(SHARED.get(Costly::start));
        let (one, other) = (used(), used());
        assert_eq!((one.0.0, other.0.0, RUNNING.load(Ordering::SeqCst)), (0, 0, 1));
        drop(one);
        thread::sleep(Duration::from_secs(u64::from(LINGER) + 2));
        assert_eq!(RUNNING.load(Ordering::SeqCst), 1, "it is still in use");
        drop(other);
        let gone = (0..30).any(|_| {
            thread::sleep(Duration::from_secs(1));
            RUNNING.load(Ordering::SeqCst) == 0
        });
        assert!(gone, "it is idle, and still runs");
        drop(used());
        assert_eq!(RUNNING.load(Ordering::SeqCst), 1, "it is started again");
    }
}
