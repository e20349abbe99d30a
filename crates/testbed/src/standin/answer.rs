//! Answers as the broker gives them: status, content type, the few headers that matter, a body.

use serde_json::{Map, Value, json};

use super::hal::Links;

pub(super) const HAL: &str = "application/hal+json;charset=utf-8";
pub(super) const PROBLEM: &str = "application/problem+json;charset=utf-8";

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<&'static str>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Whether it comes from the broker's API (and says which version it is) or from the layer in front of it.
    pub(super) from_api: bool,
}

impl Answer {
    pub(super) fn bare(status: u16) -> Self {
        Self { status, content_type: None, headers: Vec::new(), body: Vec::new(), from_api: true }
    }

    pub(super) fn typed(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { content_type: Some(content_type), body, ..Self::bare(status) }
    }

    pub(super) fn json(status: u16, content_type: &'static str, body: &Value) -> Self {
        Self::typed(status, content_type, body.to_string().into_bytes())
    }

    pub(super) fn hal(status: u16, body: &Value) -> Self {
        Self::json(status, HAL, body)
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn method_not_allowed(allowed: &str) -> Self {
        Self::bare(405).header("allow", allowed)
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self::typed(415, HAL, Vec::new())
    }
}

/// How errors are to be worded: the old bodies, or problem+json where the caller accepts it.
#[derive(Clone, Debug)]
pub(super) struct Errors {
    pub(super) problem_json: bool,
    pub(super) links: Links,
}

impl Errors {
    /// The framework's 404, the same for a missing route, pacticipant, version or environment.
    pub(super) fn not_found(&self) -> Answer {
        let detail = "The requested document was not found on this server.";
        if self.problem_json {
            let body = json!({"title": "404 Not Found", "type": "/problem/not-found", "detail": detail, "status": 404});
            Answer::json(404, PROBLEM, &body)
        } else {
            Answer::json(404, "application/json;charset=utf-8", &json!({"error": detail}))
        }
    }

    /// The 404 of a resource that words its own.
    pub(super) fn not_found_because(&self, detail: &str) -> Answer {
        if self.problem_json {
            let kind = self.links.raw("/problem/not-found");
            Answer::json(404, PROBLEM, &json!({"title": "Not found", "type": kind, "detail": detail, "status": 404}))
        } else {
            Answer::hal(404, &json!({"error": detail}))
        }
    }

    /// An empty component in a path: the same body whatever is accepted.
    pub(super) fn empty_path_component() -> Answer {
        let body = json!({"title": "Not Found", "type": "/problem/not-found",
                          "detail": "Empty path component found", "status": 404});
        Answer::json(404, PROBLEM, &body)
    }

    /// A body that is not JSON: HTTP 400, though the problem document says 500.
    pub(super) fn broken_json(&self, body: &str) -> Answer {
        let rest: String = body.trim_start().trim_start_matches('{').chars().take(10).collect();
        let rest = rest.split(['}', '"', ' ', '\n']).next().unwrap_or_default();
        let detail = format!("JSON::ParserError - expected object key, got '{rest}' at line 1 column 2");
        if self.problem_json {
            let kind = self.links.raw("/problem/server-error");
            let body = json!({"title": "Server error", "type": kind, "detail": detail, "status": 500});
            Answer::json(400, PROBLEM, &body)
        } else {
            Answer::hal(400, &json!({"error": detail}))
        }
    }

    pub(super) fn server_error(&self) -> Answer {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let reference = &id[..10];
        let detail = format!("An error has occurred. The details have been logged with the reference {reference}");
        if self.problem_json {
            let body =
                json!({"title": "Server error", "type": "/problems/server-error", "detail": detail, "status": 500});
            Answer::json(500, PROBLEM, &body)
        } else {
            Answer::hal(500, &json!({"error": {"message": detail, "reference": reference}}))
        }
    }

    fn validation_problem(&self, status: u16, errors: &[Value]) -> Answer {
        let body = json!({"title": "Validation errors", "type": self.links.raw("/problems/validation-error"),
                          "status": 400, "instance": "/", "errors": errors});
        Answer::json(status, PROBLEM, &body)
    }

    /// Errors by field, as bodies and `/can-i-deploy` have them; the field of a base error is empty.
    pub(super) fn fields(&self, status: u16, errors: &[(&str, String)]) -> Answer {
        if self.problem_json {
            let errors = errors.iter().map(|(field, detail)| {
                let kind = if detail == "is missing" { "missing-body-property" } else { "invalid-body-property-value" };
                json!({"type": self.links.raw(&format!("/problems/{kind}")), "title": "Invalid body parameter",
                       "detail": detail, "pointer": format!("/{field}")})
            });
            self.validation_problem(status, &errors.collect::<Vec<_>>())
        } else {
            let mut fields = Map::new();
            for (field, detail) in errors {
                let of_field = fields.entry((*field).to_owned()).or_insert_with(|| json!([]));
                of_field.as_array_mut().expect("just made").push(json!(detail));
            }
            Answer::hal(status, &json!({ "errors": fields }))
        }
    }

    /// Errors as sentences, as `/matrix` has them.
    pub(super) fn sentences(&self, errors: &[String]) -> Answer {
        if self.problem_json {
            let kind = self.links.raw("/problems/invalid-body-property-value");
            let error = |detail| json!({"type": kind, "title": "Invalid body parameter", "detail": detail});
            self.validation_problem(400, &errors.iter().map(error).collect::<Vec<_>>())
        } else {
            Answer::hal(400, &json!({ "errors": errors }))
        }
    }
}
