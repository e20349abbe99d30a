//! The text of the metrics, rendered once for all who ask at the same time.

use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::Render;

/// Renders the metrics. Clones share the text.
#[derive(Clone)]
pub(super) struct Scrape {
    render: Render,
    last: Arc<Mutex<Option<Rendered>>>,
}

struct Rendered {
    /// When rendering began.
    at: Instant,
    text: Bytes,
}

impl Scrape {
    pub(super) fn new(render: Render) -> Self {
        Self { render, last: Arc::default() }
    }

    /// A text that is not older than this call.
    pub(super) async fn text(&self) -> Result<Bytes, fmt::Error> {
        let asked = Instant::now();
        // All whose requests are here ask first. The one text that is rendered then is new enough for each.
        yield_now().await;
        let mut last = self.last.lock().await;
        if let Some(rendered) = last.as_ref().filter(|rendered| rendered.at > asked) {
            return Ok(rendered.text.clone());
        }
        let at = Instant::now();
        let text = Bytes::from((self.render)()?);
        *last = Some(Rendered { at, text: text.clone() });
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn case_108_many_scrapes_at_once_are_rendered_once_and_the_next_one_anew() {
        let rendered = Arc::<AtomicU64>::default();
        let count = Arc::clone(&rendered);
        let scrape = Scrape::new(Arc::new(move || Ok(count.fetch_add(1, Ordering::SeqCst).to_string())));
        assert_eq!(scrape.text().await.unwrap(), "0");
        assert_eq!(scrape.text().await.unwrap(), "1", "nothing older than the call");
        let texts = join_all((0..100).map(|_| scrape.text())).await;
        assert!(texts.into_iter().all(|text| text.unwrap() == "2"));
        assert_eq!(rendered.load(Ordering::SeqCst), 3);
    }
}
