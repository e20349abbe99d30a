//! The name of the cluster, where several share a broker: who reads the broker's log sees which operator wrote.

use clap::Args;

use super::process::USER_AGENT;

/// How long a name may be: as long as the label of a host.
const LONGEST: usize = 63;

/// The name of the cluster.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ClusterArguments {
    /// The name of this cluster, where several share a broker: in the user agent for brokers, in Events and on
    /// `PactDeployment`s. Letters, digits, `-`, `_` and `.`, at most 63 characters.
    #[arg(long, value_name = "NAME", value_parser = parse)]
    cluster_name: Option<String>,
}

impl ClusterArguments {
    /// The name, if there is one.
    pub(super) fn name(&self) -> Option<&str> {
        self.cluster_name.as_deref()
    }

    /// The user agent for brokers.
    pub(super) fn user_agent(&self) -> String {
        match &self.cluster_name {
            Some(name) => format!("{USER_AGENT} (cluster: {name})"),
            None => USER_AGENT.to_owned(),
        }
    }

    /// This process in Events: the name of its pod, after that of the cluster.
    pub(super) fn instance(&self, pod: &str) -> String {
        match &self.cluster_name {
            Some(name) => format!("{name}/{pod}"),
            None => pod.to_owned(),
        }
    }
}

fn parse(name: &str) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(valid) {
        return Err(format!("use letters, digits, '-', '_' and '.', and at most {LONGEST} characters"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_106_the_name_is_in_the_user_agent_and_in_events() {
        let named = ClusterArguments { cluster_name: Some("eu-1".to_owned()) };
        assert_eq!(named.user_agent(), format!("pact-operator/{} (cluster: eu-1)", env!("CARGO_PKG_VERSION")));
        assert_eq!(named.instance("pod"), "eu-1/pod");
        let none = ClusterArguments::default();
        assert_eq!(
            (none.user_agent(), none.instance("pod"), none.name()),
            (USER_AGENT.to_owned(), "pod".to_owned(), None)
        );
    }

    #[test]
    fn a_name_that_could_end_the_comment_of_a_user_agent_is_refused() {
        for name in ["eu-1", "EU_1.prod", &"a".repeat(63)] {
            assert_eq!(parse(name).as_deref(), Ok(name));
        }
        for name in ["", "a b", "a)", "a\nb", "\u{fc}", &"a".repeat(64)] {
            assert!(parse(name).is_err(), "{name:?}");
        }
    }
}
