//! What the guide for users of GitOps prints, so that what is tested is what people copy.

use serde::Deserialize as _;
use serde_json::Value;

/// The page.
const PAGE: &str = include_str!("../../docs/gitops.md");

/// The only block in this language.
///
/// # Panics
/// When there is none, or several.
pub fn block(language: &str) -> &'static str {
    let blocks = blocks(language);
    assert_eq!(blocks.len(), 1, "the blocks of {language} in docs/gitops.md");
    blocks[0]
}

/// The object of this kind and name in a block of YAML.
///
/// # Panics
/// When there is none.
pub fn yaml(kind: &str, name: &str) -> Value {
    let documents = blocks("yaml").into_iter().flat_map(|block| {
        serde_yaml_ng::Deserializer::from_str(block)
            .map(|one| Value::deserialize(one).expect("YAML"))
            .collect::<Vec<_>>()
    });
    let mut found = documents.filter(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("docs/gitops.md has no {kind} {name}"))
}

fn blocks(language: &str) -> Vec<&'static str> {
    let opened = format!("```{language}\n");
    PAGE.split(opened.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}
