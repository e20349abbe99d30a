//! Spans over OTLP, where somebody asked for them; nothing otherwise, at the cost of a look.
//!
//! A span is the current one while its work is polled, so that what is called may add to it and begin spans below it without
//! being handed anything. Spans leave in batches, as JSON over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>);
//! what cannot be sent is dropped after a while, and no work ever waits for it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::runtime;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use thiserror::Error;

/// The header by which a caller says of which trace its request is (<https://www.w3.org/TR/trace-context/>).
pub const TRACEPARENT: &str = "traceparent";
/// How long a batch may take on its way.
const LIMIT: Duration = Duration::from_secs(10);

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The address of the collector, without the path `/v1/traces`.
    pub endpoint: String,
    /// The share of traces that are kept, 0 to 1, where the caller has not decided that.
    pub ratio: f64,
    /// What the spans are of: the names of the process, as OpenTelemetry's conventions call them.
    pub resource: Vec<(&'static str, String)>,
}

/// Why no spans can be sent.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The client cannot be made.
    #[error("no client for the collector of traces can be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The address cannot be used.
    #[error("the address {endpoint} of the collector of traces cannot be used: {problem}. Write http://HOST:4318")]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where spans go: nowhere by default. Clones share it.
#[derive(Clone, Default)]
pub struct Traces(Option<Sending>);

#[derive(Clone)]
struct Sending {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Sends spans to a collector. Belongs to the runtime in which it is made.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn to_collector(settings: &TraceSettings) -> Result<Self, TraceError> {
        let unusable = |problem: String| TraceError::Endpoint { endpoint: settings.endpoint.clone(), problem };
        let url = format!("{}/v1/traces", settings.endpoint.trim_end_matches('/'));
        url::Url::parse(&url).map_err(|error| unusable(error.to_string()))?;
        let client = reqwest::Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none()).build()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector(client))
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(url)
            .with_timeout(LIMIT)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.ratio)));
        let attributes = settings.resource.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter, runtime::Tokio).build())
            .with_sampler(sampler)
            .with_resource(Resource::builder().with_attributes(attributes).build())
            .build();
        Ok(Self::through(provider))
    }

    fn through(provider: SdkTracerProvider) -> Self {
        let tracer = provider.tracer("pact-operator");
        Self(Some(Sending { provider, tracer }))
    }

    /// Does work within a span of this name, below the current one if there is one.
    pub async fn span<T>(&self, name: &'static str, work: impl Future<Output = T>) -> T {
        match &self.0 {
            None => work.await,
            Some(sending) => {
                let parent = Context::current();
                Sending::within(sending.begun(name, SpanKind::Internal, &parent), &parent, work).await
            }
        }
    }

    /// The same for the answer to a request, below the span of its caller if the header [`TRACEPARENT`] names one.
    pub async fn answer<T>(&self, name: &'static str, parent: Option<&str>, work: impl Future<Output = T>) -> T {
        let Some(sending) = &self.0 else { return work.await };
        let headers: HashMap<_, _> =
            parent.map(|parent| (TRACEPARENT.to_owned(), parent.to_owned())).into_iter().collect();
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        Sending::within(sending.begun(name, SpanKind::Server, &parent), &parent, work).await
    }

    /// Does work within a span that began earlier, with no span above it: what was waited for counts, too.
    pub async fn since<T>(&self, name: &'static str, began: SystemTime, work: impl Future<Output = T>) -> T {
        let Some(sending) = &self.0 else { return work.await };
        let builder = sending.tracer.span_builder(name).with_kind(SpanKind::Internal).with_start_time(began);
        Sending::within(builder.start_with_context(&sending.tracer, &Context::new()), &Context::new(), work).await
    }

    /// Whether spans go anywhere.
    #[must_use]
    pub const fn are_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Sends what is left, for ten seconds at most.
    pub async fn end(self) {
        if let Some(Sending { provider, .. }) = self.0 {
            // It waits for its own task, so it must not hold a thread of the runtime; and it takes no limit into account.
            let ending = tokio::task::spawn_blocking(move || provider.shutdown());
            drop(tokio::time::timeout(LIMIT, ending).await);
        }
    }
}

impl Sending {
    fn begun(&self, name: &'static str, kind: SpanKind, parent: &Context) -> Span {
        self.tracer.span_builder(name).with_kind(kind).start_with_context(&self.tracer, parent)
    }

    async fn within<T>(span: Span, parent: &Context, work: impl Future<Output = T>) -> T {
        let context = parent.with_span(span);
        // On the heap: it may be large, and is moved through the functions above.
        let done = Box::pin(work.with_context(context.clone())).await;
        context.span().end();
        done
    }
}

/// The same work, within the current span also where another task does it.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    work.with_current_context()
}

/// Adds to the current span, if there is one that is kept.
pub fn add(key: &'static str, value: impl Into<Value>) {
    let context = Context::current();
    let span = context.span();
    if span.is_recording() {
        span.set_attribute(KeyValue::new(key, value));
    }
}

/// Says of the current span that what it is about failed.
pub fn fail(why: impl Into<String>) {
    let context = Context::current();
    let span = context.span();
    if span.is_recording() {
        span.set_status(Status::error(why.into()));
    }
}

/// The identity of the current trace, if it is kept: for an exemplar.
#[must_use]
pub fn current_trace() -> Option<String> {
    let context = Context::current();
    let span = context.span();
    let of = span.span_context();
    of.is_sampled().then(|| of.trace_id().to_string())
}

/// The collector, through the process's own HTTP client.
#[derive(Debug)]
struct Collector(reqwest::Client);

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.0.execute(request.try_into()?).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = Response::builder().status(status).body(response.bytes().await?)?;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SpanData};

    use super::*;

    fn kept() -> (Traces, InMemorySpanExporter) {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        (Traces::through(provider), exporter)
    }

    fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
        spans.iter().find(|span| span.name == name).unwrap()
    }

    #[tokio::test]
    async fn a_span_is_below_the_one_that_is_current_and_the_first_below_its_callers() {
        let (traces, exporter) = kept();
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = traces
            .answer("outer", Some(parent), async {
                traces.span("inner", async { add("verdict", "No") }).await;
                fail("denied");
                current_trace()
            })
            .await;
        assert_eq!(trace.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let spans = exporter.get_finished_spans().unwrap();
        let (outer, inner) = (named(&spans, "outer"), named(&spans, "inner"));
        assert_eq!(outer.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(inner.parent_span_id, outer.span_context.span_id());
        assert_eq!(inner.attributes, [KeyValue::new("verdict", "No")]);
        assert_eq!(outer.status, Status::error("denied"));
        assert_eq!(current_trace(), None, "nothing is current afterwards");
    }

    #[tokio::test]
    async fn a_caller_that_keeps_no_trace_and_a_header_that_makes_no_sense_do_no_harm() {
        let (traces, exporter) = kept();
        let not_kept = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert_eq!(traces.answer("outer", Some(not_kept), async { current_trace() }).await, None);
        assert!(traces.answer("outer", Some("00-what"), async { current_trace() }).await.is_some());
        assert_eq!(exporter.get_finished_spans().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_was_waited_for_is_in_the_span_of_the_work() {
        let (traces, exporter) = kept();
        let began = SystemTime::now() - Duration::from_secs(5);
        traces.since("recorded", began, async { add("version", "1") }).await;
        let spans = exporter.get_finished_spans().unwrap();
        let span = named(&spans, "recorded");
        assert_eq!(span.start_time, began);
        assert!(span.end_time.duration_since(began).unwrap() >= Duration::from_secs(5));
        assert_eq!(span.attributes, [KeyValue::new("version", "1")]);
    }

    #[tokio::test]
    async fn without_a_collector_there_are_no_spans() {
        let traces = Traces::default();
        assert_eq!(traces.span("outer", async { current_trace() }).await, None);
        assert_eq!(traces.since("recorded", SystemTime::now(), async { current_trace() }).await, None);
        traces.end().await;
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_used_is_an_error_that_names_it() {
        let settings = TraceSettings { endpoint: "collector".to_owned(), ratio: 1.0, resource: Vec::new() };
        let error = Traces::to_collector(&settings).err().unwrap().to_string();
        assert!(error.contains("collector") && error.contains("http://HOST:4318"), "{error}");
    }
}
