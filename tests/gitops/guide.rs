//! What the book prints for users of GitOps, so that what is tested is what people copy.

use serde::Deserialize as _;
use serde_json::Value;

/// A page of the book.
pub struct Page {
    path: &'static str,
    text: &'static str,
}

/// The guide for users of GitOps.
pub const GITOPS: Page = Page { path: "docs/gitops.md", text: include_str!("../../docs/gitops.md") };
/// What waits for a record.
pub const WAITING: Page =
    Page { path: "docs/waiting-for-recorded.md", text: include_str!("../../docs/waiting-for-recorded.md") };
/// Rollouts that are held.
pub const HOLD: Page = Page { path: "docs/hold.md", text: include_str!("../../docs/hold.md") };

impl Page {
    /// The only block in this language.
    ///
    /// # Panics
    /// When there is none, or several.
    pub fn block(&self, language: &str) -> &'static str {
        let blocks: Vec<_> = self.blocks(language).collect();
        assert_eq!(blocks.len(), 1, "the blocks of {language} in {}", self.path);
        blocks[0]
    }

    /// The object of this kind and name in a block of YAML.
    ///
    /// # Panics
    /// When there is none.
    pub fn yaml(&self, kind: &str, name: &str) -> Value {
        self.yaml_where(kind, name, |_| true)
    }

    /// The first such object of which this is so.
    ///
    /// # Panics
    /// When there is none.
    pub fn yaml_where(&self, kind: &str, name: &str, so: impl Fn(&Value) -> bool) -> Value {
        let documents = self.blocks("yaml").flat_map(|block| {
            serde_yaml_ng::Deserializer::from_str(block)
                .map(|one| Value::deserialize(one).expect("YAML"))
                .collect::<Vec<_>>()
        });
        let mut found = documents.filter(|it| it["kind"] == kind && it["metadata"]["name"] == name && so(it));
        found.next().unwrap_or_else(|| panic!("{} has no such {kind} {name}", self.path))
    }

    /// The part of an object in the block of YAML that begins with this comment.
    ///
    /// # Panics
    /// When there is none.
    pub fn part(&self, comment: &str) -> Value {
        let block = self.blocks("yaml").find(|block| block.starts_with(&format!("# {comment}\n")));
        let block = block.unwrap_or_else(|| panic!("{} has no block of {comment}", self.path));
        serde_yaml_ng::from_str(block).expect("YAML")
    }

    fn blocks(&self, language: &str) -> impl Iterator<Item = &'static str> {
        let opened = format!("```{language}\n");
        let blocks: Vec<_> = self.text.split(opened.as_str()).skip(1).collect();
        blocks.into_iter().map(|rest| rest.split("```").next().unwrap_or_default())
    }
}
