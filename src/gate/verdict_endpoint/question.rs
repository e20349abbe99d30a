//! What a tool asks, from a query or from JSON.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    api::names::{Pacticipant, Version},
    decide::admission::{Asked, Sought},
};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// What is asked about.
    pub(super) asked: Asked,
    /// The environment, by the name of the `PactEnvironment` or by its name at the broker. Without one: each in which the
    /// namespace lies.
    pub(super) environment: Option<String>,
}

/// The words of a question. A word that is not among them is refused: left out, it would ask for more than was meant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    pacticipant: Option<String>,
    version: Option<String>,
    image: Option<String>,
    namespace: Option<String>,
    environment: Option<String>,
}

const WORDS: &str = "pacticipant, version or image, and namespace or environment or both";

impl Question {
    /// A query: `pacticipant=orders&version=2.0.0&environment=production`. `timeout` is there for the server.
    pub(super) fn of_query(query: &str) -> Result<Self, String> {
        let mut words = Words::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let field = match name {
                "pacticipant" => &mut words.pacticipant,
                "version" => &mut words.version,
                "image" => &mut words.image,
                "namespace" => &mut words.namespace,
                "environment" => &mut words.environment,
                "timeout" => continue,
                _ => return Err(format!("the query has an unknown word: say {WORDS}")),
            };
            // A `+` is a blank in a form (URL Living Standard, application/x-www-form-urlencoded). In a version it is a
            // `+`: no version has blanks, and tools that put one into an address do not encode it.
            let form = !matches!(name, "version" | "image");
            let value = if form { value.replace('+', " ") } else { value.to_owned() };
            let value = percent_decode_str(&value).decode_utf8().map_err(|_| format!("{name} is not UTF-8"))?;
            if field.replace(value.into_owned()).is_some() {
                return Err(format!("{name} is there twice: one question is about one application"));
            }
        }
        words.try_into()
    }

    /// A JSON object with the same words.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, String> {
        // A list would be taken for the words in their order.
        let object = serde_json::from_slice::<Map<String, Value>>(body).map(Value::Object);
        let words = object.and_then(serde_json::from_value::<Words>);
        words.map_err(|error| format!("the body is no question: {error}; it is a JSON object with {WORDS}"))?.try_into()
    }
}

/// Whether a namespace may have this name, which is a label of DNS (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>): nothing
/// else is looked up by it.
pub(super) fn is_namespace(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |text: &str| text.bytes().next().is_some_and(plain) && text.bytes().last().is_some_and(plain);
    text.len() <= 63 && ends(text) && text.bytes().all(|byte| plain(byte) || byte == b'-')
}

/// The beginning of a text that is not ours, so that an answer does not carry it whole.
fn excerpt(text: &str) -> String {
    format!("{:?}", text.chars().take(63).collect::<String>())
}

impl TryFrom<Words> for Question {
    type Error = String;

    fn try_from(words: Words) -> Result<Self, String> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let pacticipant = given(words.pacticipant).ok_or_else(|| format!("which pacticipant? Say {WORDS}"))?;
        let sought = match (given(words.version), given(words.image)) {
            (Some(version), None) => Sought::Version(Version::parse(&version).map_err(|error| error.to_string())?),
            (None, Some(image)) => Sought::Image(image),
            (None, None) => return Err(format!("which version of {pacticipant}? Say {WORDS}")),
            (Some(_), Some(_)) => return Err("say version or image, not both: the image's tag is a version".to_owned()),
        };
        let (namespace, environment) = (given(words.namespace), given(words.environment));
        if let Some(namespace) = namespace.as_deref().filter(|namespace| !is_namespace(namespace)) {
            return Err(format!("{} is no name of a namespace: it is a label of DNS", excerpt(namespace)));
        }
        if namespace.is_none() && environment.is_none() {
            return Err(format!("in which environment? Say {WORDS}"));
        }
        let pacticipant = Pacticipant::parse(&pacticipant).map_err(|error| error.to_string())?;
        Ok(Self { asked: Asked { pacticipant, sought, namespace }, environment })
    }
}
