//! Tasks one at a time, brokers apart, and what is urgent before what is not.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::api::names::{EnvironmentName, Pacticipant};

fn record(broker: &str, pacticipant: &str) -> Task {
    Task::Record(RecordKey {
        environment_ref: EnvironmentRef { broker: broker.into(), environment: EnvironmentName::parse("e").unwrap() },
        pacticipant: Pacticipant::parse(pacticipant).unwrap(),
        instance: None,
    })
}

/// Runs the queue over `work` until the test drops the returned guard.
fn start<F>(work: F) -> (Queue, tokio_util::sync::DropGuard)
where
    F: Fn(Task, Slot, Tries) -> BoxFuture<'static, Next> + Send + Sync + 'static,
{
    let (queue, receiver) = Queue::new();
    let shutdown = CancellationToken::new();
    tokio::spawn(run(queue.clone(), receiver, shutdown.clone(), Arc::new(work)));
    (queue, shutdown.drop_guard())
}

#[tokio::test(start_paused = true)]
async fn a_task_never_runs_concurrently_with_itself_and_a_request_meanwhile_is_not_lost() {
    let (done, mut done_tasks) = mpsc::unbounded_channel();
    let at_once = Arc::new(AtomicUsize::new(0));
    let (queue, _guard) = start(move |_, _slot, _tries| {
        let (at_once, done) = (Arc::clone(&at_once), done.clone());
        async move {
            assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
            tokio::time::sleep(Duration::from_secs(1)).await;
            at_once.fetch_sub(1, Ordering::SeqCst);
            done.send(Instant::now()).unwrap();
            Next::wait()
        }
        .boxed()
    });
    queue.now(record("a", "x"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    queue.now(record("a", "x"));
    queue.now(record("a", "x"));
    let first = done_tasks.recv().await.unwrap();
    let second = done_tasks.recv().await.unwrap();
    assert!(second - first >= Duration::from_secs(1));
    assert!(tokio::time::timeout(Duration::from_mins(1), done_tasks.recv()).await.is_err(), "asked twice, done once");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_delays_no_other() {
    let (done, mut done_tasks) = mpsc::unbounded_channel();
    let (queue, _guard) = start(move |task, _slot, _tries| {
        let done = done.clone();
        async move {
            match task {
                Task::Record(key) if key.environment_ref.broker == "black-hole" => std::future::pending().await,
                task => done.send(task).unwrap(),
            }
            Next::wait()
        }
        .boxed()
    });
    for number in 0..100 {
        queue.now(record("black-hole", &format!("p{number}")));
    }
    queue.now(record("good", "x"));
    queue.now(Task::Broker("black-hole".into()));
    let mut got = vec![done_tasks.recv().await.unwrap(), done_tasks.recv().await.unwrap()];
    got.sort_by_key(|task| format!("{task:?}"));
    assert_eq!(got, [Task::Broker("black-hole".into()), record("good", "x")]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_task_runs_again_and_an_earlier_request_wins() {
    let (done, mut done_tasks) = mpsc::unbounded_channel();
    let (queue, _guard) = start(move |_, _slot, _tries| {
        let done = done.clone();
        async move {
            done.send(Instant::now()).unwrap();
            Next::after(Duration::from_secs(100))
        }
        .boxed()
    });
    let start = Instant::now();
    queue.now(record("a", "x"));
    done_tasks.recv().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    queue.after(Duration::from_secs(9), record("a", "x"));
    assert_eq!((done_tasks.recv().await.unwrap() - start).as_secs(), 10);
    assert_eq!((done_tasks.recv().await.unwrap() - start).as_secs(), 110);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_retried_and_the_others_continue() {
    let times = Arc::new(AtomicUsize::new(0));
    let (done, mut done_tasks) = mpsc::unbounded_channel();
    let (queue, _guard) = start(move |task, _slot, _tries| {
        let (times, done) = (Arc::clone(&times), done.clone());
        async move {
            assert!(task != record("a", "bad") || times.fetch_add(1, Ordering::SeqCst) > 0, "planned panic");
            done.send(task).unwrap();
            Next::wait()
        }
        .boxed()
    });
    queue.now(record("a", "bad"));
    queue.now(record("a", "good"));
    assert_eq!(done_tasks.recv().await.unwrap(), record("a", "good"));
    assert_eq!(done_tasks.recv().await.unwrap(), record("a", "bad"));
}

/// Whether a task is one of a crowd, each of which takes a second.
fn of_the_crowd(task: &Task) -> bool {
    matches!(task, Task::Record(key) if key.pacticipant.as_str().starts_with("crowd"))
}

#[tokio::test(start_paused = true)]
async fn case_112_an_urgent_task_waits_for_none_of_thousands_that_are_not() {
    let (done, mut done_tasks) = mpsc::unbounded_channel();
    let at_once = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, highest) = (Arc::clone(&at_once), Arc::clone(&most));
    let (queue, _guard) = start(move |task, slot, _tries| {
        let (at_once, most, done) = (Arc::clone(&counted), Arc::clone(&highest), done.clone());
        async move {
            if of_the_crowd(&task) {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                at_once.fetch_sub(1, Ordering::SeqCst);
            } else {
                done.send((task, Instant::now())).unwrap();
            }
            drop(slot);
            Next::wait()
        }
        .boxed()
    });
    for number in 0..5_000 {
        queue.now(record("a", &format!("crowd-{number}")));
    }
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(most.load(Ordering::SeqCst), SLOTS_WITHOUT_HURRY, "the crowd leaves slots to others");
    let asked = Instant::now();
    queue.urgently(record("a", "rollout"));
    // One that waits in the crowd already becomes urgent, too.
    queue.now(record("a", "promoted"));
    tokio::time::sleep(Duration::from_millis(1)).await;
    queue.urgently(record("a", "promoted"));
    for _ in 0..2 {
        let (task, at) = done_tasks.recv().await.unwrap();
        assert!(at - asked < Duration::from_millis(10), "{task:?} waited {:?}", at - asked);
    }
}

#[tokio::test(start_paused = true)]
async fn urgent_tasks_take_their_slots_only_and_the_others_go_on() {
    let (done, mut done_tasks) = mpsc::unbounded_channel();
    let (queue, _guard) = start(move |task, slot, _tries| {
        let done = done.clone();
        async move {
            if of_the_crowd(&task) {
                // As long as it holds its slot.
                std::future::pending::<()>().await;
            }
            done.send(task).unwrap();
            drop(slot);
            Next::wait()
        }
        .boxed()
    });
    for number in 0..2 * SLOTS_PER_LANE {
        queue.urgently(record("a", &format!("crowd-{number}")));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    queue.now(record("a", "comparison"));
    assert_eq!(done_tasks.recv().await.unwrap(), record("a", "comparison"));
    queue.urgently(Task::Broker("a".into()));
    assert_eq!(done_tasks.recv().await.unwrap(), Task::Broker("a".into()), "a lane without urgent slots");
}
