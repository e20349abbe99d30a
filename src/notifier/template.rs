//! The template of a webhook's body. Every value that it prints is printed as JSON, so that no name can break the body.
//! See <https://docs.rs/minijinja/latest/minijinja/syntax/>.

use std::fmt;

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde::{Serialize, de::IgnoredAny};
use thiserror::Error;

use crate::decide::{
    announcement::{Described, Kind},
    verification::VerificationRequest,
};

/// The name of the template; its ending makes every value JSON.
const NAME: &str = "template.json";

/// Why a template cannot be used.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The engine says so.
    #[error("{0}")]
    Engine(#[from] minijinja::Error),
    /// The result is no JSON.
    #[error("it makes no JSON of {of}: {cause}; leave out the quotes around {{{{ … }}}}")]
    NoJson {
        /// Of what.
        of: String,
        /// What the parser says.
        cause: serde_json::Error,
    },
}

/// A template; without one, all that is known of an announcement is sent as a JSON object.
#[derive(Default)]
pub struct Template(Option<Environment<'static>>);

impl Template {
    /// Parses a template, and tries it with an announcement of each kind.
    ///
    /// # Errors
    /// When it cannot be parsed, uses a name that does not exist, or makes no JSON.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let template = Self::compiled(text)?;
        for kind in Kind::ALL {
            template.render(&sample(*kind))?;
        }
        Ok(template)
    }

    /// Parses a template of requests for verifications, and tries it with one.
    ///
    /// # Errors
    /// When it cannot be parsed, uses a name that does not exist, or makes no JSON.
    pub fn parse_for_requests(text: &str) -> Result<Self, TemplateError> {
        let template = Self::compiled(text)?;
        template.render_request(&VerificationRequest { consumer: "web \"\\".to_owned(), ..Default::default() })?;
        Ok(template)
    }

    fn compiled(text: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template_owned(NAME, text.to_owned())?;
        Ok(Self(Some(environment)))
    }

    /// The body for an announcement. `None` where the template makes nothing of it: then nothing is sent.
    ///
    /// # Errors
    /// When the template fails with it, or makes no JSON.
    pub fn render(&self, described: &Described) -> Result<Option<String>, TemplateError> {
        self.filled(&format!("an announcement of the kind {}", described.kind), described)
    }

    /// The body for a request. `None` where the template makes nothing of it: then nothing is sent.
    ///
    /// # Errors
    /// When the template fails with it, or makes no JSON.
    pub fn render_request(&self, request: &VerificationRequest) -> Result<Option<String>, TemplateError> {
        self.filled("a request for a verification", request)
    }

    fn filled<T: Serialize>(&self, of: &str, values: &T) -> Result<Option<String>, TemplateError> {
        let text = match &self.0 {
            Some(environment) => environment.get_template(NAME)?.render(Serde(values))?,
            None => serde_json::to_string(values).unwrap_or_default(),
        };
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        serde_json::from_str::<IgnoredAny>(text).map_err(|cause| TemplateError::NoJson { of: of.to_owned(), cause })?;
        Ok(Some(text.to_owned()))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.is_some()).finish()
    }
}

/// An announcement whose names need to be escaped.
fn sample(kind: Kind) -> Described {
    let text = |text: &str| format!("{text} \"\\");
    Described {
        id: "0-1".to_owned(),
        kind: kind.name().to_owned(),
        warning: true,
        text: text("text"),
        pacticipant: text("pacticipant"),
        version: text("2"),
        previous_version: text("1"),
        environment: text("environment"),
        application_instance: text("blue"),
        broker: text("broker"),
        cluster: text("cluster"),
        workloads: vec![text("Deployment a/b")],
        message: text("message"),
        at: "2026-01-01T00:00:00Z".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The body of a template for an upgrade.
    fn body(template: &str) -> Value {
        let body = Template::parse(template).unwrap().render(&sample(Kind::Upgraded)).unwrap().unwrap();
        serde_json::from_str(&body).unwrap()
    }

    #[test]
    fn values_are_escaped_wherever_they_stand() {
        let told = r#"{"text": {{ text }}, "both": {{ pacticipant ~ " " ~ version }}, "all": {{ workloads }}, "bad": {{ warning }}}"#;
        let wanted = json!({
            "text": "text \"\\", "both": "pacticipant \"\\ 2 \"\\", "all": ["Deployment a/b \"\\"], "bad": true
        });
        assert_eq!(body(told), wanted);
    }

    #[test]
    fn without_a_template_everything_is_sent() {
        let text = Template::default().render(&sample(Kind::Removed)).unwrap().unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&body["kind"], &body["previousVersion"]), (&json!("Removed"), &json!("1 \"\\")));
    }

    #[test]
    fn the_templates_of_the_documentation_make_json() {
        let page = include_str!("../../docs/notifications.md");
        let templates: Vec<_> = page.split("```jinja\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert_eq!(templates.len(), 3);
        for template in templates {
            body(&template.replace("if warning %}", "if true %}"));
        }
        for name in serde_json::to_value(sample(Kind::Drift)).unwrap().as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
        }
    }

    #[test]
    fn a_template_may_leave_kinds_out() {
        let template = Template::parse(r#"{% if kind == "WouldDeny" %}{"text": {{ text }}}{% endif %}"#).unwrap();
        assert_eq!(template.render(&sample(Kind::Deployed)).unwrap(), None);
        assert!(template.render(&sample(Kind::WouldDeny)).unwrap().is_some());
    }

    #[test]
    fn what_makes_no_json_is_refused_before_anything_happens() {
        for (template, said) in [
            (r#"{"text": "{{ text }}"}"#, "leave out the quotes"),
            ("{{ nothing }}", "undefined value"),
            ("{% if %}", "template.json:1"),
            (r#"{% if kind == "Drift" %}oops{% else %}{}{% endif %}"#, "of the kind Drift"),
        ] {
            let error = Template::parse(template).unwrap_err().to_string();
            assert!(error.contains(said), "{template}: {error}");
        }
    }
}
