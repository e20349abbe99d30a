//! What people read: denials, warnings, notes of Events.
//!
//! Whoever reads a denial reads it in a terminal, in a Helm error, in a condition of Flux or in Argo CD's interface, and
//! mostly only its first line: that one is the whole answer. Warnings are cut by the API server when they are long.
//! No text ever holds the words that make GitOps controllers delete what runs (see [`sanitize()`]). They are replaced by
//! longer ones, so that comes before anything is cut to its length.

mod link;
mod reason_clause;
mod sanitize;

use super::{
    Basis, Decision, Finding, Outcome, Problem, Verdict,
    admission::{Bypass, Cause, Spared},
    other_line, owners,
};
use crate::{
    api::{annotations::BYPASS, gate::GateMode},
    workload::{Held, NotOwned},
};

pub use link::{content_link, matrix_link, pact_link, pacticipant_link};
pub use reason_clause::{brief, caution, counted, pair, reason_clause, selection_clause};
pub use sanitize::{one_line, sanitize, shortened};

/// How long the first line of a denial may be, in characters: a Warning header holds no more either.
pub const FIRST_LINE: usize = 256;
/// How long a warning may be, in characters. See
/// <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response>.
pub const WARNING: usize = 120;
/// How many warnings one request may cause.
pub const WARNINGS: usize = 3;
/// How long the note of an Event may be, in bytes.
pub const NOTE: usize = 1_024;
/// How many pairs of each finding a denial lists.
const LISTED: usize = 8;
/// How many findings a denial explains.
const EXPLAINED: usize = 4;

/// How a denied rollout goes on once its reason is gone, for each tool that applied it.
const NEXT_STEP: &str = "Once that is put right: apply it again (kubectl, helm). Flux does so by itself at its next retry; Argo \
                        CD does with syncPolicy.retry.limit: -1, and needs a new sync without it.";

/// The whole text of a denial. `link` gives the address of the matrix of a finding, if there is one.
#[must_use]
pub fn denial(decision: &Decision, link: impl Fn(&Finding) -> Option<String>) -> String {
    let decisive = decision.decisive();
    let Some(first) = decisive.first() else { return String::new() };
    let more = match decisive.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let mut lines = vec![format!("{}{more}", shortened(&sentence(first), FIRST_LINE - more.chars().count()))];
    for finding in decisive.iter().take(EXPLAINED) {
        if decisive.len() > 1 {
            lines.push(format!("- {}", sentence(finding)));
        }
        if let Cause::Judged(judgement) = &finding.cause {
            let failing: Vec<_> = judgement.failing().collect();
            lines.extend(failing.iter().take(LISTED).map(|it| format!("  {:<11} {}", it.result.name(), pair(it))));
            if failing.len() > LISTED {
                lines.push(format!("  and {} more", failing.len() - LISTED));
            }
        }
        if let Some(link) = link(finding) {
            lines.push(format!("  see {link}"));
        }
        lines.push(format!("  {}", remedy(finding)));
        lines.extend(other_line(finding).map(|hint| format!("  {hint}")));
    }
    lines.extend(decision.bypass.objection().map(|why| format!("The annotation {why}.")));
    lines.push(emergency(first));
    lines.push(NEXT_STEP.to_owned());
    let lines: Vec<_> = lines.iter().map(|text| one_line(text)).collect();
    sanitize(&lines.join("\n"))
}

/// How to get a version through in an emergency: the statement, and who may make it.
fn emergency(finding: &Finding) -> String {
    let version =
        finding.subject.identified.as_ref().map_or_else(|_| "VERSION".to_owned(), |it| it.version.to_string());
    let kind = finding.subject.kind.kind().to_lowercase();
    format!(
        "In an emergency: kubectl annotate --overwrite {kind}/NAME {BYPASS}=\"{version} REASON\" (or write it in the \
         manifest), and apply it again as somebody for whom kubectl auth can-i bypass pactenvironments.pact-operator.dev \
         says yes."
    )
}

/// The denial of a manifest that ends the pause of what is held, while nobody can say that it may run.
#[must_use]
pub fn stays_held(held: &Held) -> String {
    let version = one_line(held.version.as_str());
    sanitize(&format!(
        "{version} is held until it may run, and a manifest does not end that: apply it again; by hand: kubectl rollout resume"
    ))
}

/// What somebody is told who is not known to be the API server. It is as long as a warning may be.
#[must_use]
pub fn withheld() -> &'static str {
    "pact-operator: not a clear yes; the reason is told only to the API server, which is known by its path"
}

/// The warning about a statement, if there is one.
#[must_use]
pub fn bypass(bypass: &Bypass) -> Option<String> {
    match bypass {
        Bypass::Unstated => None,
        Bypass::Counts(it) => {
            Some(warning(&format!("not checked with Pact: {BYPASS} states {} ({})", it.version, it.reason)))
        }
        Bypass::Ineffective(_) => bypass.objection().as_deref().map(warning),
    }
}

/// The warnings of a decision that admits the rollout: at most [`WARNINGS`] of at most [`WARNING`] characters.
#[must_use]
pub fn warnings(decision: &Decision) -> Vec<String> {
    if decision.outcome != Outcome::Warned {
        return Vec::new();
    }
    let decisive = decision.decisive();
    let mut warnings = Vec::new();
    let shown = if decisive.len() > WARNINGS { WARNINGS - 1 } else { decisive.len() };
    for finding in &decisive[..shown] {
        let suffix = match (finding.would_deny(), finding.awaits_members) {
            _ if finding.spared == Some(Spared::DryRun) => "; the real request is denied",
            (true, false) if finding.spared == Some(Spared::Held) => "; held: paused, resumes by itself",
            (true, false) if finding.spared == Some(Spared::ByHand) => "; resumed by hand all the same",
            (true, true) => "; Enforce awaits the list of what runs",
            (true, false) => "; Enforce would deny it",
            (false, _) if is_rollback(finding) => "; rollbacks are never blocked",
            (false, _) => "",
        };
        let text = sanitize(&one_line(&short_sentence(finding)));
        warnings.push(format!("{}{suffix}", shortened(&text, WARNING - suffix.chars().count())));
    }
    if decisive.len() > shown {
        warnings.push(format!(
            "{} more findings: see the Events of the {}",
            decisive.len() - shown,
            decisive[0].subject.kind
        ));
    }
    warnings
}

/// The warnings about versions that are rolling out, which decide nothing: of findings in a mode that warns.
#[must_use]
pub fn cautions(decision: &Decision) -> Vec<String> {
    let warned = decision.findings.iter().filter(|finding| finding.mode >= GateMode::Warn);
    let cautions = warned.filter_map(|finding| {
        let (Cause::Judged(judgement), Ok(it)) = (&finding.cause, &finding.subject.identified) else { return None };
        let environment = &finding.subject.environment_ref.environment;
        let pair = judgement.cautions.first()?;
        let more = match judgement.cautions.len() - 1 {
            0 => String::new(),
            more => format!(", and {}", counted(more, "more pair")),
        };
        let clause = caution(&it.pacticipant, environment, pair);
        let (pacticipant, version) = (brief(it.pacticipant.as_str()), brief(it.version.as_str()));
        Some(warning(&format!("{pacticipant} {version} → {}: {clause}{more}", brief(environment.as_str()))))
    });
    cautions.collect()
}

/// The same about one finding, each pair whole and on one line.
#[must_use]
pub fn cautions_about(finding: &Finding) -> Vec<String> {
    let (Cause::Judged(judgement), Ok(it)) = (&finding.cause, &finding.subject.identified) else { return Vec::new() };
    if finding.mode < GateMode::Warn {
        return Vec::new();
    }
    let environment = &finding.subject.environment_ref.environment;
    let caution = |pair| one_line(&caution(&it.pacticipant, environment, pair));
    judgement.cautions.iter().map(caution).collect()
}

/// What the gate answers to the self-test.
pub const GREETING: &str = "the gate of pact-operator answers";

/// The greeting, with the version of who answers.
#[must_use]
pub fn greeting() -> String {
    format!("{GREETING}, version {}", env!("CARGO_PKG_VERSION"))
}

/// A warning of our own, sanitized and cut to its length.
#[must_use]
pub fn warning(text: &str) -> String {
    shortened(&sanitize(&one_line(text)), WARNING)
}

/// The note of an Event on the workload about one finding.
#[must_use]
pub fn note(finding: &Finding, link: Option<String>) -> String {
    let mut note = match finding.spared {
        Some(Spared::Held) => held(finding),
        Some(Spared::ByHand) => format!("resumed by hand, although {}", sentence(finding)),
        None | Some(Spared::DryRun) => sentence(finding),
    };
    match (finding.would_deny(), finding.mode) {
        (true, GateMode::Audit | GateMode::Off) => note.push_str("; admitted, because the gate only audits"),
        (true, GateMode::Warn) if finding.awaits_members => {
            note.push_str("; admitted, because Enforce awaits the list of what runs");
        }
        (true, GateMode::Warn) => note.push_str("; admitted, because the gate only warns"),
        (false, _) if is_rollback(finding) => note.push_str("; admitted, because it was recorded here before"),
        _ => {}
    }
    note.push_str(". ");
    note.push_str(&remedy(finding));
    if let Some(hint) = other_line(finding) {
        note.push(' ');
        note.push_str(&hint);
    }
    if let Some(link) = link {
        note.push_str(" See ");
        note.push_str(&link);
    }
    crate::api::condition::truncated(&sanitize(&one_line(&note)), NOTE)
}

/// What a rollout is told that is held: the whole answer, without a full stop.
#[must_use]
pub fn held(finding: &Finding) -> String {
    format!("held: paused until it may run, and resumed by itself then: {}", sentence(finding))
}

/// One finding in one sentence, without a full stop: `orders 2.0.0 may not be deployed to production: …`.
#[must_use]
pub fn sentence(finding: &Finding) -> String {
    let environment_ref = brief(finding.subject.environment_ref.environment.as_str());
    let who = match &finding.subject.identified {
        Ok(it) => format!("{} {}", brief(it.pacticipant.as_str()), brief(it.version.as_str())),
        Err(Problem::Version { pacticipant, .. } | Problem::NotOwned(NotOwned { pacticipant, .. })) => {
            brief(pacticipant.as_str())
        }
        Err(Problem::Identity(_)) => format!("this {}", finding.subject.kind),
    };
    let verb = match &finding.cause {
        Cause::Judged(judgement) if !judgement.verdict.answered() => "could not be checked for",
        Cause::Unclear(_) => "could not be checked for",
        Cause::Judged(judgement) if judgement.verdict.is_yes() => "may be deployed to",
        _ => "may not be deployed to",
    };
    sanitize(&one_line(&format!("{who} {verb} {environment_ref}: {}", reason(finding))))
}

/// Whether it is admitted only because it was recorded in the environment before.
fn is_rollback(finding: &Finding) -> bool {
    let Cause::Judged(judgement) = &finding.cause else { return false };
    finding.subject.basis == Basis::Former && judgement.verdict.answered() && !judgement.verdict.is_yes()
}

/// The same, shorter, for a warning.
fn short_sentence(finding: &Finding) -> String {
    let environment_ref = brief(finding.subject.environment_ref.environment.as_str());
    match &finding.subject.identified {
        Ok(it) => {
            let (pacticipant, version) = (brief(it.pacticipant.as_str()), brief(it.version.as_str()));
            format!("{pacticipant} {version} → {environment_ref}: {}", reason(finding))
        }
        // The name is the whole point, and one of several.
        Err(Problem::NotOwned(NotOwned { pacticipant, .. })) => {
            format!("{} → {environment_ref}: {}", brief(pacticipant.as_str()), reason(finding))
        }
        Err(_) => format!("{environment_ref}: {}", reason(finding)),
    }
}

/// Why a finding is what it is, as a clause on one line.
#[must_use]
pub fn why(finding: &Finding) -> String {
    sanitize(&one_line(&reason(finding)))
}

fn reason(finding: &Finding) -> String {
    match (&finding.cause, &finding.subject.identified) {
        (Cause::Judged(judgement), Ok(it)) => {
            reason_clause(&it.pacticipant, &finding.subject.environment_ref.environment, judgement)
        }
        (Cause::Judged(judgement), Err(_)) => judgement.explanation.clone().unwrap_or_default(),
        (Cause::Unclear(unclear), _) => unclear.to_string(),
        (Cause::Problem(problem), _) => problem.to_string(),
    }
}

/// That the name of a version that nobody published is obviously not that of the workload.
#[must_use]
pub fn other_line(finding: &Finding) -> Option<String> {
    let (Cause::Judged(judgement), Ok(it)) = (&finding.cause, &finding.subject.identified) else { return None };
    let image = finding.subject.other_image.as_deref().filter(|_| judgement.verdict == Verdict::VersionMissing)?;
    Some(sanitize(&one_line(&other_line::hint(image, &it.pacticipant))))
}

/// What to do about a finding, as a sentence.
#[must_use]
pub fn remedy(finding: &Finding) -> String {
    use super::{PairResult, Vacuous};
    let judgement = match &finding.cause {
        Cause::Judged(judgement) => judgement,
        Cause::Problem(Problem::NotOwned(problem)) => return owners::remedy(&finding.subject.object, problem),
        Cause::Problem(_) => return format!("Correct the {}'s annotations or its image tag.", finding.subject.kind),
        Cause::Unclear(unclear) => return unclear.remedy().to_owned(),
    };
    match judgement.verdict {
        Verdict::No => {
            "Deploy a version that keeps the pact, or have the other side changed and verified first.".to_owned()
        }
        Verdict::Unknown => match judgement.failing().next() {
            Some(pair) if pair.result == PairResult::NotDeployed => format!(
                "Deploy {} to {} first, or have it ignored in the PactEnvironment.",
                pair.provider, finding.subject.environment_ref.environment
            ),
            Some(pair) => {
                let version = pair.provider_version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
                format!(
                    "Have {}{version} verify the pact of {} {} and publish the result.",
                    pair.provider, pair.consumer, pair.consumer_version
                )
            }
            None => "Look at the broker's answer.".to_owned(),
        },
        Verdict::VersionMissing => {
            "Publish its pacts or verification results with exactly this version, or correct the version.".to_owned()
        }
        Verdict::PacticipantUnknown if judgement.meant.is_some() => {
            "Correct the name in the annotation (case counts). If it is right, publish its pacts first.".to_owned()
        }
        Verdict::PacticipantUnknown => {
            "Publish its pacts, or correct the name in the annotation (case counts).".to_owned()
        }
        Verdict::EnvironmentMissing => {
            "The platform team has to create the environment at the broker, or correct the PactEnvironment.".to_owned()
        }
        Verdict::Unauthorized => {
            "The platform team has to mend the broker's credentials: kubectl get pactbroker.".to_owned()
        }
        Verdict::BrokerUnavailable => {
            "It is checked again by the operator once the broker answers: kubectl get pactbroker.".to_owned()
        }
        Verdict::YesVacuous if judgement.vacuous == Some(Vacuous::Contentless) => {
            "Publish its pacts or verification results with exactly this version.".to_owned()
        }
        Verdict::Yes | Verdict::YesVacuous => "Nothing has to be done.".to_owned(),
    }
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
