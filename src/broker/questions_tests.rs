//! Many callers, few requests: against a broker in this process that counts its requests.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::future::join_all;
use serde_json::json;

use super::*;
use crate::{
    api::names::{Pacticipant, Version},
    broker::{BaseUrl, Broker, BrokerConfig, Credentials, NoCluster, TlsSettings},
};

/// How long a busy machine may take for something that should happen at once.
const SOON: Duration = Duration::from_secs(20);

/// A broker that takes its answer from the version in the question: `yes…`, `no…`, `down…`.
struct Fake {
    url: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    asked: Mutex<Vec<String>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    /// Answers are delayed until this is true.
    answering: watch::Sender<bool>,
}

impl Fake {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counts = Arc::new(Counts { answering: watch::Sender::new(true), ..Counts::default() });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&counts));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, counts }
    }

    fn broker(&self) -> Broker {
        Broker::new(BrokerConfig {
            base_url: BaseUrl::parse(&self.url).unwrap(),
            credentials: Credentials::None,
            headers: Vec::new(),
            tls: TlsSettings::default(),
            request_timeout: SOON,
            concurrency: 1_000,
            longest_pause: crate::broker::pause::LONGEST_PAUSE,
            user_agent: "test".to_owned(),
        })
        .unwrap()
    }

    fn questions(&self, at_once: usize) -> Questions {
        Questions::new(Judge::new(self.broker(), Arc::new(NoCluster)), at_once)
    }

    fn hold(&self, held: bool) {
        self.counts.answering.send_replace(!held);
    }

    /// How often the broker was asked about versions with this beginning.
    fn asked(&self, beginning: &str) -> usize {
        self.counts.asked.lock().unwrap().iter().filter(|version| version.starts_with(beginning)).count()
    }

    async fn wait_asked(&self, beginning: &str, times: usize) {
        let waited = Instant::now();
        while self.asked(beginning) < times {
            assert!(waited.elapsed() < SOON, "asked {} times, not {times}", self.asked(beginning));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn answer(State(counts): State<Arc<Counts>>, request: Request) -> Result<Response, Infallible> {
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
    // What is live in an environment is read beside the questions: nothing is.
    let path = request.uri().path();
    if path != "/matrix" {
        let name = query.get("name").cloned().unwrap_or_default();
        let body = json!({"_embedded": {
            "environments": [{"uuid": "e", "name": name, "production": false}],
            "deployedVersions": [], "releasedVersions": [],
        }});
        return Ok(([(header::CONTENT_TYPE, "application/hal+json")], body.to_string()).into_response());
    }
    let version = query.get("q[][version]").cloned().unwrap_or_default();
    counts.asked.lock().unwrap().push(version.clone());
    counts.most.fetch_max(counts.under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    drop(counts.answering.subscribe().wait_for(|answering| *answering).await);
    counts.under_way.fetch_sub(1, Ordering::SeqCst);
    let success = version.starts_with("yes");
    let row = json!({
        "consumer": {"name": "web", "version": {"number": "1"}},
        "provider": {"name": "orders", "version": {"number": version}},
        "verificationResult": {"success": success},
    });
    let summary =
        json!({"deployable": success, "success": u8::from(success), "failed": u8::from(!success), "unknown": 0});
    let body = json!({"summary": summary, "matrix": [row]}).to_string();
    let status = if version.starts_with("down") { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok((status, [(header::CONTENT_TYPE, "application/hal+json")], body).into_response())
}

fn about(version: &str) -> Question {
    about_in(version, "production")
}

fn about_in(version: &str, environment: &str) -> Question {
    Question {
        pacticipant: Pacticipant::parse("orders").unwrap(),
        version: Version::parse(version).unwrap(),
        environment: EnvironmentName::parse(environment).unwrap(),
        ignore: Vec::new(),
        in_flight: crate::api::gate::InFlight::default(),
    }
}

fn caller() -> Caller {
    Caller { urgency: Urgency::Enforced, namespace: "shop".to_owned() }
}

async fn ask(questions: &Questions, question: &Question) -> (Verdict, Source) {
    let (answer, source) = questions.ask(question, caller(), Instant::now() + SOON).await;
    (answer.verdict, source)
}

fn under_way(questions: &Questions) -> usize {
    questions.shared.state().under_way.len()
}

#[tokio::test]
async fn equal_questions_in_flight_are_asked_once_and_their_answer_is_kept() {
    let fake = Fake::start().await;
    let questions = fake.questions(4);
    fake.hold(true);
    let question = about("yes-1");
    let all = join_all((0..500).map(|_| ask(&questions, &question)));
    let (answers, ()) = tokio::join!(all, async {
        fake.wait_asked("", 1).await;
        fake.hold(false);
    });
    assert_eq!(answers, vec![(Verdict::Yes, Source::Asked); 500]);
    assert_eq!(ask(&questions, &question).await, (Verdict::Yes, Source::Remembered));
    assert_eq!(fake.asked(""), 1);
    assert_eq!(under_way(&questions), 0);
}

#[tokio::test]
async fn questions_that_differ_in_anything_have_answers_of_their_own() {
    let fake = Fake::start().await;
    let questions = fake.questions(8);
    let ignoring = |version: Option<&str>| Question {
        ignore: vec![crate::decide::Ignored {
            pacticipant: Pacticipant::parse("web").unwrap(),
            version: version.map(|version| Version::parse(version).unwrap()),
        }],
        ..about("yes")
    };
    let other = Question { pacticipant: Pacticipant::parse("Orders").unwrap(), ..about("yes") };
    let different = [about("yes"), about("yes2"), about_in("yes", "test"), ignoring(None), ignoring(Some("1")), other];
    join_all(different.iter().map(|question| ask(&questions, question))).await;
    assert_eq!(fake.asked("yes"), different.len());
}

#[tokio::test]
async fn a_caller_with_little_time_gets_a_timely_answer_while_the_others_and_its_next_try_get_the_real_one() {
    let fake = Fake::start().await;
    let questions = fake.questions(4);
    fake.hold(true);
    let question = about("yes-1");
    let hasty = async {
        let began = Instant::now();
        let (answer, source) = questions.ask(&question, caller(), began + Duration::from_millis(100)).await;
        assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
        assert_eq!((answer.verdict, source), (Verdict::BrokerUnavailable, Source::None));
        let message = answer.explanation.clone().unwrap();
        assert!(message.contains("no answer within 0."), "{message}");
        fake.wait_asked("", 1).await;
        fake.hold(false);
    };
    // The caller with little time asks first: its question must not end with it.
    let ((), patient, other) = tokio::join!(hasty, ask(&questions, &question), ask(&questions, &question));
    assert_eq!((patient, other), ((Verdict::Yes, Source::Asked), (Verdict::Yes, Source::Asked)));
    let (again, source) = questions.ask(&question, caller(), Instant::now()).await;
    assert_eq!((again.verdict, source), (Verdict::Yes, Source::Remembered));
    assert_eq!(fake.asked(""), 1);
}

#[tokio::test]
async fn an_answer_without_a_waiting_caller_serves_the_next_try() {
    let fake = Fake::start().await;
    let questions = fake.questions(4);
    fake.hold(true);
    let question = about("yes-1");
    let first = questions.ask(&question, caller(), Instant::now() + SOON);
    assert!(timeout(Duration::from_millis(50), first).await.is_err(), "the caller is dropped while it waits");
    fake.wait_asked("", 1).await;
    let second = async { ask(&questions, &question).await };
    let release = async {
        tokio::task::yield_now().await;
        fake.hold(false);
    };
    let (answer, ()) = tokio::join!(second, release);
    assert_eq!(answer.0, Verdict::Yes);
    assert_eq!(fake.asked(""), 1, "what the first began was not thrown away");
}

#[test]
fn a_yes_is_kept_for_ten_seconds_and_every_other_answer_for_one() {
    let key = || Key { question: about("1"), recorded: 0, running: (0, 0) };
    for verdict in [
        Verdict::Yes,
        Verdict::YesVacuous,
        Verdict::No,
        Verdict::Unknown,
        Verdict::VersionMissing,
        Verdict::PacticipantUnknown,
        Verdict::EnvironmentMissing,
        Verdict::Unauthorized,
        Verdict::BrokerUnavailable,
    ] {
        let answer = Arc::new(Judgement::without_pairs(verdict, ""));
        let seconds = if matches!(verdict, Verdict::Yes | Verdict::YesVacuous) { 10 } else { 1 };
        for (late, seconds) in [(false, seconds), (true, 300)] {
            let kept = Kept { answer: Arc::clone(&answer), late };
            let lives = ByVerdict.expire_after_create(&key(), &kept, StdInstant::now());
            assert_eq!(lives, Some(Duration::from_secs(seconds)), "{verdict:?} {late}");
        }
    }
}

#[tokio::test]
async fn a_no_is_asked_again_after_a_second_in_which_a_yes_is_still_kept() {
    let fake = Fake::start().await;
    let questions = fake.questions(4);
    let began = Instant::now();
    assert_eq!(ask(&questions, &about("no")).await, (Verdict::No, Source::Asked));
    assert_eq!(ask(&questions, &about("yes")).await, (Verdict::Yes, Source::Asked));
    loop {
        let (verdict, source) = ask(&questions, &about("no")).await;
        assert_eq!(verdict, Verdict::No);
        if source == Source::Asked {
            break;
        }
        assert!(began.elapsed() < SOON, "a no is never asked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Counted from its answer, which came after the start.
    assert!(began.elapsed() >= OTHERS_LIVE, "{:?}", began.elapsed());
    if began.elapsed() < YES_LIVES {
        assert_eq!(ask(&questions, &about("yes")).await, (Verdict::Yes, Source::Remembered));
    }
    assert_eq!(fake.asked("no"), 2);
}

#[tokio::test]
async fn a_record_in_an_environment_invalidates_its_answers_and_those_in_flight_but_no_others() {
    let fake = Fake::start().await;
    let questions = fake.questions(8);
    let (here, there) = (about_in("yes-here", "production"), about_in("yes-there", "test"));
    ask(&questions, &here).await;
    ask(&questions, &there).await;
    questions.forget(&here.environment);
    assert_eq!(ask(&questions, &there).await, (Verdict::Yes, Source::Remembered));
    assert_eq!(ask(&questions, &here).await, (Verdict::Yes, Source::Asked));
    assert_eq!(fake.asked("yes-here"), 2);

    fake.hold(true);
    let slow = about_in("yes-slow", "production");
    let before = async { ask(&questions, &slow).await };
    let after = async {
        fake.wait_asked("yes-slow", 1).await;
        questions.forget(&slow.environment);
        let second = ask(&questions, &slow);
        let release = async {
            fake.wait_asked("yes-slow", 2).await;
            fake.hold(false);
        };
        tokio::join!(second, release).0
    };
    // An earlier caller gets the answer of that time; a later caller must not get it.
    let (before, after) = tokio::join!(before, after);
    assert_eq!((before.0, after), (Verdict::Yes, (Verdict::Yes, Source::Asked)));
    assert_eq!(fake.asked("yes-slow"), 2);
}

#[tokio::test]
async fn no_more_than_a_few_are_put_at_a_time_and_too_many_that_wait_are_refused_at_once() {
    let fake = Fake::start().await;
    let questions = fake.questions(3);
    fake.hold(true);
    let different: Vec<_> =
        (0..most_waiting(Urgency::Enforced)).map(|number| about(&format!("yes-{number}"))).collect();
    let all = join_all(different.iter().map(|question| ask(&questions, question)));
    let meanwhile = async {
        fake.wait_asked("", 3).await;
        assert_eq!(under_way(&questions), most_waiting(Urgency::Enforced));
        let began = Instant::now();
        let (refused, source) = questions.ask(&about("yes-one-too-many"), caller(), began + SOON).await;
        assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
        assert_eq!((refused.verdict, source), (Verdict::BrokerUnavailable, Source::None));
        let message = refused.explanation.clone().unwrap();
        assert!(message.contains("256 other questions wait"), "{message}");
        // A question that is in flight already is not an additional one.
        let known = tokio::time::timeout(Duration::from_millis(50), ask(&questions, &different[0])).await;
        assert!(known.is_err(), "it waits with the others");
        fake.hold(false);
    };
    let (answers, ()) = tokio::join!(all, meanwhile);
    assert!(answers.iter().all(|answer| *answer == (Verdict::Yes, Source::Asked)), "{answers:?}");
    assert_eq!(fake.counts.most.load(Ordering::SeqCst), 3);
    assert_eq!(fake.asked(""), most_waiting(Urgency::Enforced));
    assert_eq!(ask(&questions, &about("yes-one-too-many")).await.0, Verdict::Yes, "there is room again");
}

#[tokio::test]
async fn a_question_without_a_waiting_caller_is_not_sent_and_can_be_asked_again() {
    let fake = Fake::start().await;
    let questions = fake.questions(1);
    fake.hold(true);
    let first = tokio::spawn({
        let questions = questions.clone();
        async move { ask(&questions, &about("yes-first")).await }
    });
    fake.wait_asked("", 1).await;
    for number in 0..20 {
        let gone = about(&format!("yes-gone-{number}"));
        let (answer, _) = questions.ask(&gone, caller(), Instant::now() + Duration::from_millis(5)).await;
        assert_eq!(answer.verdict, Verdict::BrokerUnavailable);
    }
    fake.hold(false);
    assert_eq!(first.await.unwrap().0, Verdict::Yes);
    // The last in line: when it is answered, the questions before it have been handled.
    assert_eq!(ask(&questions, &about("yes-last")).await.0, Verdict::Yes);
    assert_eq!(fake.asked("yes-gone"), 0);
    assert_eq!(under_way(&questions), 0, "nothing is left behind");
    assert_eq!(ask(&questions, &about("yes-gone-3")).await, (Verdict::Yes, Source::Asked));
}

#[tokio::test]
async fn a_question_whose_callers_left_is_not_abandoned_under_a_new_caller() {
    let fake = Fake::start().await;
    let questions = fake.questions(1);
    // All callers leave at once and return at once, over and over: no waiting caller may get an abandoned question.
    for round in 0..300 {
        let question = about(&format!("yes-{round}"));
        let leaving = questions.ask(&question, caller(), Instant::now() + SOON);
        drop(timeout(Duration::ZERO, leaving).await);
        let comers = join_all((0..4).map(|_| {
            let (questions, question) = (questions.clone(), question.clone());
            tokio::spawn(async move { ask(&questions, &question).await })
        }));
        for answer in comers.await {
            assert_eq!(answer.unwrap().0, Verdict::Yes, "round {round}");
        }
    }
}

#[tokio::test]
async fn a_failing_broker_is_not_asked_then_tried_by_one_and_asked_by_all_once_it_answers() {
    let fake = Fake::start().await;
    let questions = fake.questions(8);
    for number in 0..3 {
        assert_eq!(
            ask(&questions, &about(&format!("down-{number}"))).await,
            (Verdict::BrokerUnavailable, Source::Asked)
        );
    }
    let opened = Instant::now();
    let (refused, source) = questions.ask(&about("yes-refused"), caller(), Instant::now() + SOON).await;
    assert_eq!((refused.verdict, source), (Verdict::BrokerUnavailable, Source::None));
    let message = refused.explanation.clone().unwrap();
    assert!(message.contains("left alone") && message.contains("HTTP 503"), "{message}");
    assert_eq!((fake.asked("down"), fake.asked("yes")), (3, 0));

    // Half open: exactly one of many is let through.
    fake.hold(true);
    let one = loop {
        let answer = questions.ask(&about("yes-trying"), caller(), Instant::now() + Duration::from_millis(20)).await.0;
        if !answer.explanation.as_ref().is_some_and(|message| message.contains("left alone")) {
            break answer;
        }
        assert!(opened.elapsed() < SOON, "it is never tried again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(one.verdict, Verdict::BrokerUnavailable, "the broker is slow");
    assert!(opened.elapsed() + Duration::from_millis(100) >= Duration::from_secs(1), "{:?}", opened.elapsed());
    fake.wait_asked("yes", 1).await;
    for number in 0..20 {
        assert_eq!(ask(&questions, &about(&format!("yes-other-{number}"))).await.1, Source::None);
    }
    assert_eq!(fake.asked("yes"), 1);

    // Closed again.
    fake.hold(false);
    assert_eq!(ask(&questions, &about("yes-trying")).await.0, Verdict::Yes);
    for number in 0..20 {
        assert_eq!(ask(&questions, &about(&format!("yes-other-{number}"))).await, (Verdict::Yes, Source::Asked));
    }
    assert_eq!(fake.asked("yes"), 21);
}

#[tokio::test]
async fn a_try_without_a_waiting_caller_does_not_keep_the_circuit_open() {
    let fake = Fake::start().await;
    let questions = fake.questions(1);
    for number in 0..3 {
        ask(&questions, &about(&format!("down-{number}"))).await;
    }
    let opened = Instant::now();
    // Callers that come and go at once: the caller that was let through as the try has left before its question is
    // sent.
    loop {
        drop(timeout(Duration::ZERO, questions.ask(&about("yes-1"), caller(), Instant::now() + SOON)).await);
        if ask(&questions, &about("yes-2")).await.0 == Verdict::Yes {
            break;
        }
        assert!(opened.elapsed() < SOON, "it is never tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_burst_of_failures_opens_the_circuit_no_longer_than_a_few_do() {
    let fake = Fake::start().await;
    let questions = fake.questions(64);
    fake.hold(true);
    let burst: Vec<_> = (0..64).map(|number| about(&format!("down-{number}"))).collect();
    let all = join_all(burst.iter().map(|question| ask(&questions, question)));
    let (answers, ()) = tokio::join!(all, async {
        fake.wait_asked("down", 64).await;
        fake.hold(false);
    });
    assert!(answers.iter().all(|answer| *answer == (Verdict::BrokerUnavailable, Source::Asked)));
    let failed = Instant::now();
    while ask(&questions, &about("yes")).await.0 != Verdict::Yes {
        // One second is expected; ten would be the longest rest, after many failed single tries.
        assert!(failed.elapsed() < Duration::from_secs(5), "64 failures at once count as 64 tries");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_defect_while_a_question_is_pursued_costs_that_question_and_no_later_one() {
    let fake = Fake::start().await;
    let panics = Arc::new(AtomicUsize::new(1));
    let left = Arc::clone(&panics);
    let broker = fake.broker().with_observer(Arc::new(move |_, _, _| {
        let panic = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        assert!(!panic, "planned panic");
    }));
    let questions = Questions::new(Judge::new(broker, Arc::new(NoCluster)), 1);
    let began = Instant::now();
    let (answer, source) = questions.ask(&about("yes"), caller(), began + SOON).await;
    assert!(began.elapsed() < SOON / 2, "the callers are answered at once: {:?}", began.elapsed());
    assert_eq!((answer.verdict, source), (Verdict::BrokerUnavailable, Source::None));
    assert_eq!(under_way(&questions), 0, "no caller waits for it for ever");
    assert_eq!(ask(&questions, &about("yes")).await, (Verdict::Yes, Source::Asked), "its slot is free again");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_costs_each_caller_its_own_deadline_and_ends_by_itself() {
    // This stand-in never answers: time passes only for the callers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake = Fake { url: format!("http://{}", listener.local_addr().unwrap()), counts: Arc::default() };
    let questions = fake.questions(1);
    let began = Instant::now();
    let (one, two) = (about("yes-1"), about("yes-2"));
    let (first, second) = tokio::join!(
        questions.ask(&one, caller(), began + Duration::from_secs(4)),
        questions.ask(&two, caller(), began + Duration::from_millis(600)),
    );
    assert_eq!(began.elapsed(), Duration::from_secs(4));
    for (answer, within) in [(first.0, "4.0 s"), (second.0, "0.6 s")] {
        let message = answer.explanation.clone().unwrap();
        assert!(answer.verdict == Verdict::BrokerUnavailable && message.contains(within), "{message}");
    }
    while under_way(&questions) > 0 {
        assert!(began.elapsed() <= 2 * PURSUED + Duration::from_secs(1), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[path = "questions_waiting_tests.rs"]
mod waiting;
