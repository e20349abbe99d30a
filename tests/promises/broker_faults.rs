//! A broker that answers wrongly, hangs, cuts or floods, and any other server in its place, leads to one clear error
//! and nothing more.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use pact_operator::broker::{
    Broker, BrokerError, Credentials, DeploymentId, LONGEST_ANSWER, Permission, TransportFault,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::broker_under_test::{broker, config, environment, environment_id, instance, pacticipant, version};

pub(crate) fn basic() -> Credentials {
    Credentials::Basic { username: "ci-user".into(), password: "correct horse".into() }
}

const HAL: &str = "application/hal+json;charset=utf-8";
const NO_ENVIRONMENTS: &str = r#"{"_embedded":{"environments":[]}}"#;

/// A server that handles each connection as the test's script says, and keeps the requests that it read.
struct Fake {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `script` gets each connection with its number, from 0.
    async fn start<F>(script: impl Fn(usize, Connection) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let received = Arc::clone(&requests);
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(script(number, Connection { stream, requests: Arc::clone(&received) }));
            }
        });
        Self { url, requests }
    }

    /// Answers every request with the result of the function.
    async fn answering(answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static) -> Self {
        Self::start(move |_, mut connection| {
            let answer = answer.clone();
            async move {
                loop {
                    let request = connection.request().await?;
                    connection.stream.write_all(answer(&request).as_bytes()).await?;
                }
            }
        })
        .await
    }

    fn received(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

struct Connection {
    stream: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// Reads one request, head and body.
    async fn request(&mut self) -> io::Result<String> {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
                if body.len() >= length.parse().unwrap() {
                    break;
                }
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => read.extend_from_slice(&chunk[..count]),
            }
        }
        let request = String::from_utf8(read).unwrap();
        self.requests.lock().unwrap().push(request.clone());
        Ok(request)
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }
}

fn answer(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn fault(error: &BrokerError) -> Option<TransportFault> {
    match error {
        BrokerError::Transport { fault, .. } => Some(*fault),
        _ => None,
    }
}

async fn record(broker: &Broker) -> Result<(), BrokerError> {
    let (orders, one, test) = (pacticipant("orders"), version("1"), environment_id("e"));
    broker.record_deployment(&orders, &one, &test, None).await.map(|_| ())
}

/// The error of each of the client's calls, from a broker that gives every request the same answer.
async fn every_error(broker: &Broker) -> Vec<BrokerError> {
    let (orders, one, test) = (pacticipant("orders"), version("1"), environment_id("e"));
    let new = pact_operator::broker::NewEnvironment { name: environment("test"), display_name: None, production: true };
    let blue = instance("blue");
    let results = [
        broker.probe().await.err(),
        broker.environments().await.err(),
        broker.environment(&environment("test")).await.err(),
        broker.create_environment(&new).await.err(),
        broker.pacticipant_exists(&orders).await.err(),
        broker.version_exists(&orders, &one).await.err(),
        broker.currently_deployed(&test, Some(&orders)).await.err(),
        broker.record_deployment(&orders, &one, &test, Some(&blue)).await.err(),
        broker.undeploy(&DeploymentId::parse("d").unwrap()).await.err(),
        broker.currently_supported(&test, None).await.err(),
        broker.record_release(&orders, &one, &test).await.err(),
        broker.end_support(&pact_operator::broker::ReleaseId::parse("r").unwrap()).await.err(),
        broker.published_pact(&orders, &one, &orders).await.err(),
        broker.branch_of(&orders, &one).await.err(),
        broker.webhooks().await.err(),
    ];
    results.into_iter().map(Option::unwrap).collect()
}

#[tokio::test]
async fn an_answer_that_is_not_a_pact_brokers_is_an_error() {
    let html = "<!DOCTYPE html><title>Sign in</title>";
    for (status, content_type, body) in [
        ("200 OK", "text/html", html),
        ("200 OK", "text/plain", NO_ENVIRONMENTS),
        ("200 OK", "application/json", r#"{"hello":"world"}"#),
        ("200 OK", "application/json", "[]"),
        ("200 OK", HAL, ""),
        ("200 OK", HAL, r#"{"_links":{"self":{}}}"#),
        ("204 No Content", HAL, ""),
        ("404 Not Found", "text/html", html),
        ("404 Not Found", "text/plain", "default backend - 404"),
    ] {
        let fake = Fake::answering(move |_| answer(status, content_type, body)).await;
        for error in every_error(&broker(&fake.url)).await {
            assert_eq!(error.reason().as_str(), "NotABroker", "{status} {content_type} {body}: {error:?}");
            assert!(error.to_string().len() < 300 && !error.retryable(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_reported_and_never_followed() {
    let elsewhere = Fake::answering(|_| answer("200 OK", HAL, NO_ENVIRONMENTS)).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let to = elsewhere.url.clone();
        let fake = Fake::answering(move |_| {
            format!("HTTP/1.1 {status}\r\nlocation: {to}/login?user=ci-user\r\ncontent-length: 0\r\n\r\n")
        })
        .await;
        let mut config = config(&fake.url);
        config.credentials = basic();
        for error in every_error(&Broker::new(config).unwrap()).await {
            let BrokerError::Redirected { to, .. } = &error else { panic!("{error:?}") };
            assert_eq!(*to, elsewhere.url);
            assert!(!error.to_string().contains("ci-user"), "{error}");
        }
        assert_eq!(fake.received().len(), 15, "each call is asked once");
    }
    assert_eq!(elsewhere.received(), Vec::<String>::new());
}

#[tokio::test]
async fn two_gigabytes_cost_no_more_than_the_cap() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let fake = Fake::start(move |_, mut connection| {
        let sent = Arc::clone(&counted);
        async move {
            connection.request().await?;
            connection.write(&format!("HTTP/1.1 200 OK\r\ncontent-type: {HAL}\r\nconnection: close\r\n\r\n[")).await?;
            let chunk = vec![b' '; 1 << 20];
            while sent.load(Ordering::SeqCst) < 2 << 30 {
                connection.stream.write_all(&chunk).await?;
                sent.fetch_add(chunk.len(), Ordering::SeqCst);
            }
            Ok(())
        }
    })
    .await;
    let error = broker(&fake.url).environments().await.unwrap_err();
    assert!(matches!(error, BrokerError::TooLarge { limit: LONGEST_ANSWER, .. }), "{error:?}");
    // The content of both sockets' buffers was sent, too.
    assert!(sent.load(Ordering::SeqCst) < LONGEST_ANSWER + (32 << 20), "{sent:?}");

    let fake =
        Fake::answering(|_| format!("HTTP/1.1 200 OK\r\ncontent-type: {HAL}\r\ncontent-length: 2147483648\r\n\r\n"))
            .await;
    let error = broker(&fake.url).environments().await.unwrap_err();
    assert_eq!(error.reason().as_str(), "AnswerTooLarge", "refused before a byte of it came");

    // For an error the status is enough, however long its body is.
    let fake = Fake::answering(|_| answer("503 Busy", "text/html", &"x".repeat(1 << 20))).await;
    let error = broker(&fake.url).environments().await.unwrap_err();
    assert!(matches!(error, BrokerError::Server { status: 503, .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_an_error() {
    let fake = Fake::start(|_, mut connection| async move {
        connection.request().await?;
        connection
            .write(&format!("HTTP/1.1 200 OK\r\ncontent-type: {HAL}\r\ncontent-length: 999\r\n\r\n{NO_ENVIRONMENTS}"))
            .await
    })
    .await;
    let error = broker(&fake.url).environments().await.unwrap_err();
    assert_eq!(fault(&error), Some(TransportFault::BodyCut), "{error:?}");
    assert!(error.retryable() && error.reason().as_str() == "BrokerUnavailable");
}

#[tokio::test]
async fn one_deadline_holds_for_the_whole_request() {
    let silent = Fake::start(|_, mut connection| async move {
        connection.request().await?;
        connection.request().await.map(|_| ())
    })
    .await;
    let trickling = Fake::start(|_, mut connection| async move {
        connection.request().await?;
        connection.write(&format!("HTTP/1.1 200 OK\r\ncontent-type: {HAL}\r\ncontent-length: 999999\r\n\r\n")).await?;
        loop {
            connection.write(" ").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for fake in [silent, trickling] {
        let mut config = config(&fake.url);
        config.request_timeout = Duration::from_millis(300);
        let (broker, began) = (Broker::new(config).unwrap(), Instant::now());
        let error = broker.environments().await.unwrap_err();
        assert_eq!(fault(&error), Some(TransportFault::Timeout), "{error:?}");
        assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_refused_connection_is_reported_as_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = broker(&url).probe().await.unwrap_err();
    assert_eq!(fault(&error), Some(TransportFault::Connect), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("connection refused"), "{error}");
}

#[tokio::test]
async fn one_retry_after_pauses_every_caller_until_it_has_passed() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let fake = Fake::answering(move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                format!("HTTP/1.1 {status}\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n")
            } else {
                answer("200 OK", HAL, NO_ENVIRONMENTS)
            }
        })
        .await;
        let broker = broker(&fake.url);
        let first = broker.environments().await.unwrap_err();
        let began = Instant::now();
        assert_eq!(first.retry_after(), Some(Duration::from_secs(2)), "{first:?}");
        // Reads and writes, through this handle and clones of it.
        for error in every_error(&broker.clone()).await.into_iter().chain(record(&broker).await.err()) {
            let BrokerError::RateLimited { retry_after: Some(left) } = error else { panic!("{error:?}") };
            assert!(left <= Duration::from_secs(2), "{left:?}");
        }
        assert_eq!(count.load(Ordering::SeqCst), 1, "nothing went over the network");
        while let Err(error) = broker.environments().await {
            assert_eq!(error.reason().as_str(), "RateLimited", "{error:?}");
            assert!(began.elapsed() < Duration::from_secs(30));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The pause began when the answer came, a little before `began`.
        assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}

/// The server answers one request on a connection and closes it when the next one comes.
async fn closing_on_reuse() -> Fake {
    Fake::start(|_, mut connection| async move {
        connection.request().await?;
        connection.write(&answer("200 OK", HAL, NO_ENVIRONMENTS)).await?;
        connection.request().await.map(|_| ())
    })
    .await
}

#[tokio::test]
async fn a_connection_that_is_closed_on_reuse_costs_a_read_nothing() {
    let fake = closing_on_reuse().await;
    let broker = broker(&fake.url);
    for round in 1..=3 {
        assert_eq!(broker.environments().await, Ok(Vec::new()), "round {round}");
    }
    assert_eq!(fake.received().len(), 5, "the second and third request were sent twice");
}

#[tokio::test]
async fn a_write_is_never_sent_twice_by_itself() {
    let fake = closing_on_reuse().await;
    let broker = broker(&fake.url);
    broker.environments().await.unwrap();
    let error = record(&broker).await.unwrap_err();
    assert_eq!(fault(&error), Some(TransportFault::Closed), "{error:?}");
    assert_eq!(fake.received().iter().filter(|request| request.starts_with("POST")).count(), 1);
}

#[tokio::test]
async fn a_server_that_always_closes_is_asked_twice_at_most() {
    let fake = Fake::start(|_, mut connection| async move { connection.request().await.map(|_| ()) }).await;
    let error = broker(&fake.url).environments().await.unwrap_err();
    assert_eq!(fault(&error), Some(TransportFault::Closed), "{error:?}");
    assert_eq!(fake.received().len(), 2);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_allowed_and_the_others_wait_a_bounded_time() {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&under_way), Arc::clone(&most));
    let fake = Fake::start(move |_, mut connection| {
        let (under_way, most) = counters.clone();
        async move {
            loop {
                connection.request().await?;
                most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                connection.write(&answer("200 OK", HAL, NO_ENVIRONMENTS)).await?;
            }
        }
    })
    .await;
    let mut wide = config(&fake.url);
    wide.concurrency = 3;
    let wide = Broker::new(wide).unwrap();
    let answers = join_all((0..40).map(|_| wide.environments())).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 3);

    let silent = Fake::start(|_, mut connection| async move {
        connection.request().await?;
        connection.request().await.map(|_| ())
    })
    .await;
    let mut narrow = config(&silent.url);
    narrow.concurrency = 1;
    narrow.request_timeout = Duration::from_millis(300);
    let narrow = Broker::new(narrow).unwrap();
    let errors: Vec<_> =
        join_all((0..8).map(|_| narrow.environments())).await.into_iter().map(Result::unwrap_err).collect();
    assert!(errors.iter().any(|error| matches!(error, BrokerError::Busy { .. })), "{errors:?}");
    assert!(errors.iter().all(|error| error.reason().as_str() == "BrokerUnavailable"), "{errors:?}");
}

/// The server sends back all that it received, in every part of an answer that the client reads.
#[tokio::test]
async fn credentials_are_never_shown_whatever_a_server_echoes() {
    type Echo = fn(&str, &str) -> String;
    let echoes: [Echo; 8] = [
        |_, text| answer("200 OK", "text/html", text),
        |_, text| answer("200 OK", HAL, &json!({ text: text, "uuid": [text] }).to_string()),
        |_, text| answer("400 Bad", HAL, &json!({ "errors": { text: [text] } }).to_string()),
        |_, text| answer("404 Not Found", "text/plain", text),
        |_, text| answer("422 No", "application/problem+json", &json!({ "title": text, "detail": text }).to_string()),
        |_, text| answer("500 Oops", HAL, &json!({ "error": { "reference": text } }).to_string()),
        |token, _| answer("200 OK", token, "{}"),
        |token, _| format!("HTTP/1.1 302 Found\r\nlocation: https://{token}.example.com/\r\ncontent-length: 0\r\n\r\n"),
    ];
    let secrets = ["s3cretuser", "s3cretpass", "s3crettoken", "s3cretheader", "czNjcmV0"];
    let kinds = [
        Credentials::Basic { username: "s3cretuser".into(), password: "s3cretpass".into() },
        Credentials::Bearer("s3crettoken".into()),
    ];
    for (echo, credentials) in echoes.into_iter().flat_map(|echo| kinds.clone().map(|credentials| (echo, credentials)))
    {
        let fake = Fake::answering(move |request| {
            let text = request.split_once("\r\n").unwrap().1.replace("\r\n", " ");
            let token = request.lines().find_map(|line| line.strip_prefix("x-gate: ")).unwrap();
            // An early cut must not leave half of a secret, wherever it falls.
            echo(token, &text[text.find("authorization").unwrap()..])
        })
        .await;
        let mut config = config(&fake.url);
        config.credentials = credentials;
        config.headers = vec![("X-Gate".to_owned(), "s3cretheader".into())];
        let shown = format!("{config:?} {config:#?}");
        let broker = Broker::new(config).unwrap();
        let errors = every_error(&broker).await;
        let shown =
            format!("{shown} {broker:?} {errors:?} {}", errors.iter().map(ToString::to_string).collect::<String>());
        for secret in secrets {
            assert!(!shown.to_lowercase().contains(&secret.to_lowercase()), "{secret}: {shown}");
        }
    }
}

#[tokio::test]
async fn every_request_carries_our_headers_and_is_reported_to_the_observer() {
    let fake = Fake::answering(|request| {
        if request.starts_with("GET /prefix/environments ") {
            answer("200 OK", HAL, NO_ENVIRONMENTS)
        } else {
            answer(
                "404 Not Found",
                "application/json",
                r#"{"error":"The requested document was not found on this server."}"#,
            )
        }
    })
    .await;
    let mut config = config(&format!("{}/prefix/", fake.url));
    config.credentials = Credentials::Bearer("token".into());
    config.headers = vec![("X-Gate".to_owned(), "größe".into())];
    let observed = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&observed);
    let broker = Broker::new(config).unwrap().with_observer(Arc::new(move |operation, outcome, took| {
        assert!(took < Duration::from_mins(1));
        noted.lock().unwrap().push((operation, outcome));
    }));
    broker.environments().await.unwrap();
    assert_eq!(record(&broker).await.unwrap_err().reason().as_str(), "PacticipantMissing");
    let expected = [
        ("read_environments", "Ok"),
        ("record_deployment", "NotFound"),
        ("read_version", "NotFound"),
        ("read_pacticipant", "NotFound"),
    ];
    assert_eq!(*observed.lock().unwrap(), expected);
    for request in fake.received() {
        for line in ["authorization: Bearer token", "user-agent: pact-operator/test", "x-gate: größe"] {
            assert!(request.contains(&format!("\r\n{line}\r\n")), "{line}: {request}");
        }
        assert!(request.contains(" /prefix/"), "{request}");
    }
}

#[tokio::test]
async fn case_29_a_write_that_is_no_longer_permitted_is_not_sent_and_a_question_is() {
    let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let fake = Fake::answering(move |_| answer.to_owned()).await;
    let permitted = Arc::new(AtomicBool::new(true));
    let holds = Arc::clone(&permitted);
    let broker = broker(&fake.url).with_permission(Permission::new(move || holds.load(Ordering::SeqCst)));
    let (orders, one, environment) = (pacticipant("orders"), version("1"), environment_id("e"));
    let write = || broker.record_deployment(&orders, &one, &environment, None);

    drop(write().await);
    assert_eq!(fake.received().len(), 1);
    permitted.store(false, Ordering::SeqCst);
    let refused = write().await.unwrap_err();
    assert!(matches!(refused, BrokerError::Transport { fault: TransportFault::Closed, .. }), "{refused}");
    assert!(refused.to_string().contains("no longer permitted"), "{refused}");
    assert!(broker.undeploy(&DeploymentId::parse("d").unwrap()).await.is_err());
    assert_eq!(fake.received().len(), 1, "none was sent");
    drop(broker.environments().await);
    assert_eq!(fake.received().len(), 2, "whoever does not lead may ask");
    permitted.store(true, Ordering::SeqCst);
    drop(write().await);
    assert_eq!(fake.received().len(), 3);
}
