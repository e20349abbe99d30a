//! A client whose connection to the API server can be cut.

use std::time::Duration;

use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;

/// What goes through a [`FlakyClient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// All.
    Everything,
    /// Requests arrive, answers do not: the sender cannot know that its write was done.
    Requests,
    /// Nothing: requests wait and arrive late, once the connection is restored, even when their sender has given up by
    /// then.
    Nothing,
}

/// The connection of one client.
#[derive(Clone, Debug)]
pub struct FlakyClient(watch::Sender<Passes>);

impl FlakyClient {
    /// A client like `real`, and the switch of its connection, which lets everything pass at first.
    pub fn to(real: Client) -> (Client, Self) {
        let (switch, state) = watch::channel(Passes::Everything);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (real, mut state) = (real.clone(), state.clone());
            // A task of its own: a request under way goes on when its sender has gone.
            let sent = async move {
                wait(&mut state, |passes| passes != Passes::Nothing).await;
                let answer: Result<Response<Body>, kube::Error> = real.send(request).await;
                wait(&mut state, |passes| passes == Passes::Everything).await;
                answer
            };
            async move { tokio::spawn(sent).await.expect("a request does not panic") }
        });
        (Client::new(service, "default"), Self(switch))
    }

    /// Changes what passes.
    pub fn set(&self, passes: Passes) {
        self.0.send_replace(passes);
    }

    /// Cuts it for a while.
    pub async fn cut_for(&self, passes: Passes, time: Duration) {
        self.set(passes);
        tokio::time::sleep(time).await;
        self.set(Passes::Everything);
    }
}

async fn wait(state: &mut watch::Receiver<Passes>, condition: impl Fn(Passes) -> bool) {
    // Once the switch is dropped, the state never changes again: a cut connection stays cut.
    if state.wait_for(|passes| condition(*passes)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
