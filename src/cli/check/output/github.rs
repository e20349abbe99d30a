//! The workflow commands of GitHub Actions: an annotation for each answer that is not a yes.
//! See <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>.

use super::{Answer, Outcome, details, sentence};

pub(super) fn render(answers: &[Answer]) -> String {
    let mut text = Vec::new();
    for answer in answers {
        let command = match answer.outcome {
            Outcome::No | Outcome::NoAnswer => "error",
            Outcome::Yes if answer.is_plain_yes() => "notice",
            Outcome::Yes => "warning",
        };
        let file = answer.workload.as_ref().filter(|place| place.file != "-");
        let file = file.map(|place| format!("file={},", property(&place.file))).unwrap_or_default();
        let title = property(&format!("can-i-deploy: {}", answer.verdict));
        let message = [vec![sentence(answer)], details(answer)].concat().join("\n");
        text.push(format!("::{command} {file}title={title}::{}\n", data(&message)));
    }
    text.concat()
}

/// A text after the colons.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A text among the properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
