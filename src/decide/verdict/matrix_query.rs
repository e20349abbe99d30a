//! What a question is in the words of a broker's matrix: for the request, and for the page that people see.

use super::{Destination, Ignored, Question, Selection, Selector, Versions};

/// Names and values of a query, in order.
pub type MatrixQuery<'a> = Vec<(&'static str, &'a str)>;

/// One row for each consumer version and provider version: `cvp`, which the official clients send, hides older provider
/// versions that are live; the parameter `environment` alone is right only from 2.120.0 on.
pub const LATEST_BY: &str = "cvpv";

impl Question {
    /// The query of the matrix for this question.
    #[must_use]
    pub fn matrix_query(&self) -> MatrixQuery<'_> {
        let mut query = vec![("q[][pacticipant]", self.pacticipant.as_str()), ("q[][version]", self.version.as_str())];
        query.extend(ignored(&self.ignore));
        query.extend([("latestby", LATEST_BY), ("environment", self.environment.as_str())]);
        query
    }
}

impl Selection {
    /// The query of the matrix for this selection. Where the official command line asks for every version of a branch, this
    /// asks for the latest, as its documentation says.
    #[must_use]
    pub fn matrix_query(&self) -> MatrixQuery<'_> {
        let mut query = Vec::new();
        for Selector { pacticipant, versions } in &self.selectors {
            query.push(("q[][pacticipant]", pacticipant.as_str()));
            match versions {
                Versions::One(version) => query.push(("q[][version]", version.as_str())),
                Versions::Latest => query.push(("q[][latest]", "true")),
                Versions::LatestTagged(tag) => query.extend([("q[][tag]", tag.as_str()), ("q[][latest]", "true")]),
                Versions::Tagged(tag) => query.push(("q[][tag]", tag.as_str())),
                Versions::LatestOfBranch(branch) => {
                    query.extend([("q[][branch]", branch.as_str()), ("q[][latest]", "true")]);
                }
                Versions::LatestOfMainBranch => query.extend([("q[][mainBranch]", "true"), ("q[][latest]", "true")]),
            }
        }
        query.extend(ignored(&self.ignore));
        query.push(("latestby", LATEST_BY));
        match &self.destination {
            Destination::Environment(environment) => query.push(("environment", environment.as_str())),
            Destination::Tag(tag) => query.extend([("tag", tag.as_str()), ("latest", "true")]),
            Destination::MainBranches => query.extend([("mainBranch", "true"), ("latest", "true")]),
            Destination::Latest => query.push(("latest", "true")),
            Destination::EachOther => {}
        }
        query
    }
}

fn ignored(ignore: &[Ignored]) -> impl Iterator<Item = (&'static str, &str)> {
    ignore.iter().flat_map(|ignored| {
        let version = ignored.version.as_ref().map(|version| ("ignore[][version]", version.as_str()));
        [("ignore[][pacticipant]", ignored.pacticipant.as_str())].into_iter().chain(version)
    })
}
