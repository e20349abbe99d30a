//! Who asks, and whether they may: the API server knows both (`TokenReview`, `SubjectAccessReview`).

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, StatusCode, header};
use futures::future::try_join_all;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, Client, api::PostParams};
use moka::sync::Cache;
use operator_kit::refusal;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::info;

use crate::{
    decide::admission::User,
    gate::right::{Right, holds},
};

/// How many questions about callers the API server is asked at once.
const CALLERS: usize = 8;
/// How long a token that is not known holds its turn: whoever makes tokens up costs the API server 80 questions a second.
const MADE_UP: Duration = Duration::from_millis(100);
/// How long a token that is known is taken for known without a question.
const KNOWN: Duration = Duration::from_mins(1);
/// How many such tokens are remembered, each by its digest.
const MOST_KNOWN: u64 = 1_000;
/// How long one more waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why nothing is answered.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// Nobody says who asks.
    #[error("who asks? Send a ServiceAccount's token: Authorization: Bearer TOKEN")]
    NoToken,
    /// The API server does not know the token.
    #[error(
        "the API server does not know the token, or it is for somebody else: send one that has not ended, and was made for \
         an audience that the operator expects"
    )]
    UnknownToken,
    /// The caller lacks the right. To what is not said: whoever may not ask learns no mapping either.
    #[error(
        "{user} may not ask about all of this: bind the ClusterRole pact-operator-ask to it (chart value \
         verdictEndpoint.serviceAccounts)"
    )]
    NoRight {
        /// Who.
        user: String,
    },
    /// The API server could not be asked.
    #[error("who asks, and whether they may, could not be found out: {0}; ask again")]
    NotAsked(String),
    /// Too many ask at once.
    #[error("too many ask at once: ask again")]
    Busy,
}

impl Refusal {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::UnknownToken => StatusCode::UNAUTHORIZED,
            Self::NoRight { .. } => StatusCode::FORBIDDEN,
            Self::NotAsked(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// See the module.
pub(super) struct Callers {
    client: Client,
    audiences: Vec<String>,
    turns: Arc<Semaphore>,
    known: Cache<[u8; 32], User>,
}

impl Callers {
    pub(super) fn new(client: Client, audiences: Vec<String>) -> Self {
        let known = Cache::builder().max_capacity(MOST_KNOWN).time_to_live(KNOWN).build();
        Self { client, audiences, turns: Arc::new(Semaphore::new(CALLERS)), known }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let turn = timeout(PATIENCE, self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(Refusal::Busy)
    }

    /// Who holds the token of a request.
    ///
    /// # Errors
    /// When there is no token, it is not known, or that is not found out before `limit`.
    pub(super) async fn known(&self, headers: &HeaderMap, limit: Instant) -> Result<User, Refusal> {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (scheme, token) = header.split_once(' ').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
            return Err(Refusal::NoToken);
        }
        self.holder(token, limit).await
    }

    /// Who holds this token.
    ///
    /// # Errors
    /// When it is not known, or that is not found out before `limit`.
    pub(super) async fn holder(&self, token: &str, limit: Instant) -> Result<User, Refusal> {
        let digest: [u8; 32] = Sha256::digest(token.trim()).into();
        if let Some(user) = self.known.get(&digest) {
            return Ok(user);
        }
        let _turn = self.turn().await?;
        let audiences = Some(self.audiences.clone()).filter(|audiences| !audiences.is_empty());
        let spec = TokenReviewSpec { token: Some(token.trim().to_owned()), audiences };
        let review = TokenReview { spec, ..TokenReview::default() };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = match timeout_at(limit, api.create(&PostParams::default(), &review)).await {
            Ok(Ok(answer)) => answer.status.unwrap_or_default(),
            Ok(Err(error)) => return Err(Refusal::NotAsked(refusal::explain(&error))),
            Err(_) => return Err(Refusal::NotAsked("the API server did not answer in time".to_owned())),
        };
        // An authenticator that knows no audiences names none; then nobody looked whether the token is for us.
        let ours = self.audiences.is_empty()
            || answer.audiences.unwrap_or_default().iter().any(|audience| self.audiences.contains(audience));
        let Some(user) = answer.user.filter(|_| answer.authenticated == Some(true) && ours) else {
            sleep(MADE_UP).await;
            return Err(Refusal::UnknownToken);
        };
        let user = User {
            username: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default().into_iter().map(|(key, values)| (key, Some(values))).collect(),
        };
        self.known.insert(digest, user.clone());
        Ok(user)
    }

    /// Finds out whether a caller may ask about these `PactEnvironment`s; where there is none, about all of them: also that
    /// a namespace lies in none is told to nobody else.
    ///
    /// # Errors
    /// When it may not about one of them, or that is not found out before `limit`.
    pub(super) async fn may_ask(&self, user: &User, objects: &[String], limit: Instant) -> Result<(), Refusal> {
        let each: Vec<_> = match objects {
            [] => vec![None],
            objects => objects.iter().map(|object| Some(object.as_str())).collect(),
        };
        let _turn = self.turn().await?;
        let asked = each.into_iter().map(async |object| {
            match timeout_at(limit, holds(&self.client, user, Right { verb: "ask", object })).await {
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) => {
                    info!(user = user.username, object, "a caller of the verdict endpoint lacks the right to ask");
                    Err(Refusal::NoRight { user: user.username.clone() })
                }
                Ok(Err(error)) => Err(Refusal::NotAsked(error)),
                Err(_) => Err(Refusal::NotAsked("the API server did not answer in time".to_owned())),
            }
        });
        try_join_all(asked).await.map(drop)
    }
}
