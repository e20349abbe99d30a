//! Reviews sent and timed by the bench itself: as fast as they are answered, or at a steady rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures::future::join_all;
use tokio::time::MissedTickBehavior;

use crate::report::Spread;

/// A client with kept connections of its own: as many as there are requests at once, as an API server has it. It does
/// not check certificates: that costs only the client, once.
fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true);
    builder.timeout(Duration::from_secs(30)).build().unwrap()
}

/// A webhook that is called directly.
#[derive(Clone)]
pub struct Target {
    client: reqwest::Client,
    url: String,
    bodies: Arc<[Bytes]>,
}

/// An answer, and how long it took.
pub struct Answered {
    /// From sending the request to the last byte of the answer.
    pub took: Duration,
    /// The body.
    pub body: String,
}

impl Target {
    /// Reviews are taken in turn from `bodies`.
    pub fn new(url: &str, bodies: &Arc<[Bytes]>) -> Self {
        Self { client: client(), url: format!("{url}?timeout=10s"), bodies: Arc::clone(bodies) }
    }

    /// The same, over the same connections, with other reviews.
    pub fn with(&self, bodies: &Arc<[Bytes]>) -> Self {
        Self { bodies: Arc::clone(bodies), ..self.clone() }
    }

    /// Sends one review.
    ///
    /// # Panics
    /// When it is not answered with 200: no measurement of the rest would be worth anything.
    pub async fn send(&self, number: usize) -> Answered {
        let body = self.bodies[number % self.bodies.len()].clone();
        let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
        let began = Instant::now();
        let answer = request.send().await.unwrap_or_else(|error| panic!("{}: {error:?}", self.url));
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_else(|error| panic!("{}: {error:?}", self.url));
        let took = began.elapsed();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(status.is_success() && body.contains(r#""allowed":true"#), "{}: {status} {body}", self.url);
        Answered { took, body }
    }

    /// Keeps so many reviews under way until `time` is over.
    pub async fn flood(&self, at_once: usize, time: Duration) -> Flood {
        let began = Instant::now();
        let until = began + time;
        let workers = (0..at_once).map(|worker| {
            let target = self.clone();
            tokio::spawn(async move {
                let mut seconds = Vec::new();
                let mut number = worker;
                // At least one, however busy the machine is.
                loop {
                    seconds.push(target.send(number).await.took.as_secs_f64());
                    number += at_once;
                    if Instant::now() >= until {
                        break;
                    }
                }
                seconds
            })
        });
        let seconds: Vec<f64> = join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
        Flood { rate: seconds.len() as f64 / began.elapsed().as_secs_f64(), took: Spread::of(seconds) }
    }

    /// Sends so many reviews a second, whether earlier ones were answered or not. Each is timed from when it was sent.
    pub async fn steady(&self, rate: u32, time: Duration) -> Spread {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (until, mut sent) = (Instant::now() + time, Vec::new());
        while Instant::now() < until {
            tick.tick().await;
            let (target, number) = (self.clone(), sent.len());
            sent.push(tokio::spawn(async move { target.send(number).await.took.as_secs_f64() }));
        }
        Spread::of(join_all(sent).await.into_iter().map(Result::unwrap).collect())
    }
}

/// How many were answered in a second, and how long each took.
pub struct Flood {
    /// In a second.
    pub rate: f64,
    /// Each.
    pub took: Spread,
}

/// The medians over several turns.
pub struct Medians {
    /// In a second.
    pub rate: f64,
    /// Seconds.
    pub p50: f64,
    /// Seconds.
    pub p99: f64,
    /// Seconds.
    pub p999: f64,
    /// All turns together.
    pub count: usize,
}

impl Medians {
    /// Of these turns.
    pub fn of(turns: &[Flood]) -> Self {
        let median = |figure: &dyn Fn(&Flood) -> f64| Spread::of(turns.iter().map(figure).collect()).median();
        Self {
            rate: median(&|turn| turn.rate),
            p50: median(&|turn| turn.took.median()),
            p99: median(&|turn| turn.took.quantile(0.99)),
            p999: median(&|turn| turn.took.quantile(0.999)),
            count: turns.iter().map(|turn| turn.took.len()).sum(),
        }
    }

    /// `p50 / p99 / p99.9` in milliseconds.
    pub fn shown(&self) -> String {
        format!("{:.2} / {:.2} / {:.2} ms", self.p50 * 1e3, self.p99 * 1e3, self.p999 * 1e3)
    }
}
