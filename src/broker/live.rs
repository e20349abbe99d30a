//! What a broker has as live in its environments: one snapshot for all questions, read at most every few seconds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::try_join;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use super::{Broker, BrokerError, EnvironmentId};
use crate::{
    api::names::{EnvironmentName, Pacticipant, Version},
    decide::LiveVersions,
};

/// How long a snapshot serves. The operator's own records change it at once ([`LiveCache::saw_deployed`]) or end it
/// ([`LiveCache::forget`]); this is how long another client's record may stay unnoticed.
const SERVES: Duration = Duration::from_secs(3);
/// How long a failure to read serves, so that many callers do not wait for one after the other.
const FAILURE_SERVES: Duration = Duration::from_secs(1);

/// How long what is known of an environment is kept that nobody asks about: environments come and go (case 54).
const KEPT: Duration = Duration::from_mins(10);

/// What is live in an environment.
#[derive(Clone, Debug)]
pub struct LiveSnapshot {
    /// Every version that is deployed, or released and supported.
    pub versions: LiveVersions,
    /// Those of them that are released and supported.
    pub supported: LiveVersions,
    /// How many rows could not be read: a version may be missing.
    pub unreadable: usize,
}

/// What was read of an environment; `None` when the broker does not have it.
type Found = Result<Option<Arc<LiveSnapshot>>, BrokerError>;

/// What a broker has as deployed of each pacticipant, and when the reading of that began.
type Seen = HashMap<Pacticipant, (Instant, Vec<Version>)>;

#[derive(Default)]
struct Entry {
    /// The uuid never changes while the environment exists.
    id: Option<EnvironmentId>,
    /// When the last reading began and ended, and what it found.
    last: Option<(Instant, Instant, Found)>,
}

/// The snapshots of one broker. See the module.
#[derive(Default)]
pub(super) struct LiveCache {
    entries: Mutex<HashMap<EnvironmentName, Arc<AsyncMutex<Entry>>>>,
    /// Readings that began before this moment no longer serve.
    stale: Mutex<HashMap<EnvironmentName, Instant>>,
    /// What was read of single pacticipants, to be taken over into the snapshots that were read before.
    seen: Mutex<HashMap<EnvironmentName, Seen>>,
}

impl LiveCache {
    /// What is live in an environment, from a reading that began at `not_before` or later, if that is given. Two requests, three the first
    /// time, none when a reading serves; callers at the same time share one reading.
    ///
    /// # Errors
    /// Any [`BrokerError`] but that the environment is missing.
    pub(super) async fn read(
        &self,
        broker: &Broker,
        environment: &EnvironmentName,
        not_before: Option<Instant>,
    ) -> Found {
        let entry = self.entry(environment);
        let mut entry = entry.lock().await;
        let not_before = not_before.max(lock(&self.stale).get(environment).copied());
        if let Some((began, ended, found)) = &mut entry.last {
            let serves = if found.is_ok() { SERVES } else { FAILURE_SERVES };
            // From its end: a broker that takes longer to answer than a reading serves would be read for ever.
            if not_before.is_none_or(|not_before| *began >= not_before) && ended.elapsed() < serves {
                self.take_over(environment, *began, found);
                return found.clone();
            }
        }
        let began = Instant::now();
        let mut found = read(broker, environment, &mut entry.id).await;
        self.take_over(environment, began, &mut found);
        entry.last = Some((began, Instant::now(), found.clone()));
        found
    }

    /// Something was recorded in an environment: what was read no longer serves.
    pub(super) fn forget(&self, environment: &EnvironmentName) {
        let mut stale = lock(&self.stale);
        // What was read before serves no longer anyway.
        stale.retain(|_, since| since.elapsed() < KEPT);
        stale.insert(environment.clone(), Instant::now());
    }

    /// All that is deployed of a pacticipant in an environment, from a reading that began at `began`. Thousands of records
    /// at a start would otherwise have the whole environment read again after each of them.
    pub(super) fn saw_deployed(
        &self,
        environment: &EnvironmentName,
        pacticipant: &Pacticipant,
        began: Instant,
        versions: Vec<Version>,
    ) {
        if lock(&self.entries).contains_key(environment) {
            let mut seen = lock(&self.seen);
            seen.entry(environment.clone()).or_default().insert(pacticipant.clone(), (began, versions));
        }
    }

    /// Brings a snapshot whose reading began at `began` up to date with what was read of single pacticipants after that.
    fn take_over(&self, environment: &EnvironmentName, began: Instant, found: &mut Found) {
        let Some(seen) = lock(&self.seen).remove(environment) else { return };
        let Ok(Some(snapshot)) = found else { return };
        let mut later = seen.into_iter().filter(|(_, (at, _))| *at >= began).peekable();
        if later.peek().is_none() {
            return;
        }
        let snapshot = Arc::make_mut(snapshot);
        for (pacticipant, (_, mut versions)) in later {
            versions.extend(snapshot.supported.of(&pacticipant).into_iter().flatten().cloned());
            *snapshot.versions.looked_up(pacticipant) = versions.into_iter().collect();
        }
    }

    /// What is known of an environment. Others that nobody asked about for long are forgotten.
    fn entry(&self, environment: &EnvironmentName) -> Arc<AsyncMutex<Entry>> {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get(environment) {
            return Arc::clone(entry);
        }
        entries.retain(|_, entry| {
            let Ok(entry) = entry.try_lock() else { return true };
            entry.last.as_ref().is_some_and(|(_, ended, _)| ended.elapsed() < KEPT)
        });
        lock(&self.seen).retain(|environment, _| entries.contains_key(environment));
        Arc::clone(entries.entry(environment.clone()).or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(broker: &Broker, name: &EnvironmentName, id: &mut Option<EnvironmentId>) -> Found {
    if let Some(known) = id {
        match of(broker, known).await {
            // It may have been made again, under another uuid.
            Err(BrokerError::EnvironmentMissing { .. }) => *id = None,
            found => return found.map(Some),
        }
    }
    let Some(environment) = broker.environment(name).await? else { return Ok(None) };
    match of(broker, id.insert(environment.id)).await {
        Err(BrokerError::EnvironmentMissing { .. }) => Ok(None),
        found => found.map(Some),
    }
}

/// What is live in an environment: two requests at once.
pub(super) async fn of(broker: &Broker, id: &EnvironmentId) -> Result<Arc<LiveSnapshot>, BrokerError> {
    let (deployed, supported) =
        try_join(broker.currently_deployed_rows(id, None), broker.currently_supported_rows(id, None)).await?;
    let deployed_versions = deployed.rows.into_iter().map(|row| (row.pacticipant, row.version));
    let supported_versions: Vec<_> = supported.rows.into_iter().map(|row| (row.pacticipant, row.version)).collect();
    Ok(Arc::new(LiveSnapshot {
        versions: LiveVersions::all(deployed_versions.chain(supported_versions.iter().cloned())),
        supported: LiveVersions::all(supported_versions),
        unreadable: deployed.unreadable + supported.unreadable,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32) -> EnvironmentName {
        EnvironmentName::parse(&format!("preview-{number}")).unwrap()
    }

    #[test]
    fn what_was_read_of_one_application_replaces_what_a_snapshot_has_of_it_unless_that_is_newer() {
        let (orders, web) = (Pacticipant::parse("orders").unwrap(), Pacticipant::parse("web").unwrap());
        let version = |text| Version::parse(text).unwrap();
        let supported = [(orders.clone(), version("0.9"))];
        let versions = [(orders.clone(), version("1")), (web.clone(), version("7"))];
        let snapshot = || {
            Ok(Some(Arc::new(LiveSnapshot {
                versions: LiveVersions::all(versions.iter().chain(&supported).cloned()),
                supported: LiveVersions::all(supported.clone()),
                unreadable: 0,
            })))
        };
        let (cache, began) = (LiveCache::default(), Instant::now());
        let shown = |found: &Found| {
            let snapshot = found.clone().unwrap().unwrap();
            let of = |name| snapshot.versions.of(name).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
            (of(&orders).join(","), of(&web).join(","))
        };
        let mut found = snapshot();
        cache.saw_deployed(&name(1), &orders, began, vec![version("2")]);
        cache.take_over(&name(1), began, &mut found);
        assert_eq!(shown(&found), ("0.9,1".to_owned(), "7".to_owned()), "nobody asks about this environment");
        drop(cache.entry(&name(1)));
        cache.saw_deployed(&name(1), &orders, began, vec![version("2")]);
        cache.take_over(&name(1), began + Duration::from_secs(1), &mut found);
        assert_eq!(shown(&found), ("0.9,1".to_owned(), "7".to_owned()), "the snapshot is newer");
        cache.saw_deployed(&name(1), &orders, began, vec![version("2")]);
        cache.saw_deployed(&name(1), &web, began, Vec::new());
        cache.take_over(&name(1), began, &mut found);
        assert_eq!(shown(&found), ("0.9,2".to_owned(), String::new()));
        assert!(lock(&cache.seen).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn case_115_environments_that_nobody_asks_about_any_more_take_no_room() {
        let cache = LiveCache::default();
        for number in 0..100 {
            let entry = cache.entry(&name(number));
            let now = Instant::now();
            entry.lock().await.last = Some((now, now, Ok(None)));
            cache.forget(&name(number));
            tokio::time::advance(Duration::from_mins(1)).await;
        }
        assert!(lock(&cache.entries).len() <= 11, "{}", lock(&cache.entries).len());
        assert!(lock(&cache.stale).len() <= 11, "{}", lock(&cache.stale).len());
        assert!(lock(&cache.entries).contains_key(&name(99)), "the last ones are kept");
    }
}
