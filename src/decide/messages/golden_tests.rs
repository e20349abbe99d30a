//! The texts themselves, as people get them.

use super::*;
use crate::{
    api::{
        gate::{GateMode, GatePolicy},
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{
        Basis, GateRules, Identified, Judgement, Pair, PairResult, Question, Subject, Vacuous, Verdict,
        admission::{Answer, Ineffective, Unclear},
    },
    workload::{BypassStatement, EnvironmentRef, IdentityProblem, VersionProblem, WorkloadKind},
};

fn name(text: &str) -> Pacticipant {
    Pacticipant::parse(text).unwrap()
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn environment_ref(environment: &str) -> EnvironmentRef {
    EnvironmentRef { broker: "main".into(), environment: EnvironmentName::parse(environment).unwrap() }
}

fn pair(result: PairResult, consumer: [&str; 2], provider: [&str; 2]) -> Pair {
    Pair {
        result,
        consumer: name(consumer[0]),
        consumer_version: version(consumer[1]),
        provider: name(provider[0]),
        provider_version: Version::parse(provider[1]).ok(),
        in_flight: false,
    }
}

fn rules(mode: GateMode) -> GateRules {
    GateRules::parse(&GatePolicy { mode, ..GatePolicy::default() })
}

fn subject(environment: &str, identified: Result<[&str; 2], Problem>) -> Subject {
    let identified = identified.map(|it| Identified { pacticipant: name(it[0]), version: version(it[1]) });
    Subject {
        object: environment.into(),
        environment_ref: environment_ref(environment),
        kind: WorkloadKind::Deployment,
        identified,
        basis: Basis::New,
        other_image: None,
    }
}

/// A finding about orders 2.0.0 in production.
fn finding(mode: GateMode, judgement: Judgement) -> Finding {
    Finding::new(subject("production", Ok(["orders", "2.0.0"])), Cause::Judged(judgement), &rules(mode), true)
}

fn of_pairs(verdict: Verdict, pairs: Vec<Pair>) -> Judgement {
    Judgement { verdict, pairs, cautions: Vec::new(), vacuous: None, meant: None, explanation: None }
}

fn link(finding: &Finding) -> Option<String> {
    let it = finding.subject.identified.as_ref().ok()?;
    let question = Question {
        pacticipant: it.pacticipant.clone(),
        version: it.version.clone(),
        environment: finding.subject.environment_ref.environment.clone(),
        ignore: Vec::new(),
        in_flight: crate::api::gate::InFlight::default(),
    };
    Some(matrix_link("https://broker.example.com/", &question.matrix_query()))
}

const LAST: &str = "\
In an emergency: kubectl annotate --overwrite deployment/NAME pact-operator.dev/bypass=\"2.0.0 REASON\" (or write it in \
the manifest), and apply it again as somebody for whom kubectl auth can-i bypass pactenvironments.pact-operator.dev says \
yes.
Once that is put right: apply it again (kubectl, helm). Flux does so by itself at its next retry; Argo CD does with \
syncPolicy.retry.limit: -1, and needs a new sync without it.";
const SEE: &str = "see https://broker.example.com/matrix?q%5B%5D%5Bpacticipant%5D=orders&q%5B%5D%5Bversion%5D=2.0.0\
&latestby=cvpv&environment=production";

#[test]
fn a_denial_names_the_pair_both_versions_the_environment_and_what_to_do() {
    let failed = of_pairs(
        Verdict::No,
        vec![
            pair(PairResult::Failed, ["web-shop", "4.2.0"], ["orders", "2.0.0"]),
            pair(PairResult::Unverified, ["mobile", "1.1"], ["orders", "2.0.0"]),
            pair(PairResult::Verified, ["admin", "7"], ["orders", "2.0.0"]),
        ],
    );
    let text = denial(&Decision::over(vec![finding(GateMode::Enforce, failed)]), link);
    let expected = format!(
        "orders 2.0.0 may not be deployed to production: it failed to verify the pact of web-shop 4.2.0, and 1 more pair
  Failed      web-shop 4.2.0 → orders 2.0.0
  Unverified  mobile 1.1 → orders 2.0.0
  {SEE}
  Deploy a version that keeps the pact, or have the other side changed and verified first.
{LAST}"
    );
    assert_eq!(text, expected);
}

#[test]
fn each_verdict_has_its_own_first_line_and_remedy() {
    let unverified = pair(PairResult::Unverified, ["orders", "2.0.0"], ["stock", "1.4"]);
    let not_deployed = pair(PairResult::NotDeployed, ["orders", "2.0.0"], ["stock", ""]);
    let failed = pair(PairResult::Failed, ["orders", "2.0.0"], ["stock", "1.4"]);
    let missing = Judgement::without_pairs(
        Verdict::VersionMissing,
        "the broker has no version 2.0.0 of orders: no pacts or verification results were published with it",
    );
    let unknown = Judgement::without_pairs(Verdict::PacticipantUnknown, "the broker knows no pacticipant named orders");
    let nowhere =
        Judgement::without_pairs(Verdict::EnvironmentMissing, "the broker has no environment named production");
    let refused = Judgement::without_pairs(Verdict::Unauthorized, "the Pact Broker refused the credentials");
    let silent = Judgement::without_pairs(Verdict::BrokerUnavailable, "it gave no answer within 8.0 s");
    for (judgement, first, then) in [
        (
            of_pairs(Verdict::No, vec![failed]),
            "orders 2.0.0 may not be deployed to production: stock 1.4 failed to verify its pact",
            "Deploy a version that keeps the pact, or have the other side changed and verified first.",
        ),
        (
            of_pairs(Verdict::Unknown, vec![unverified]),
            "orders 2.0.0 may not be deployed to production: stock 1.4 has not verified its pact",
            "Have stock 1.4 verify the pact of orders 2.0.0 and publish the result.",
        ),
        (
            of_pairs(Verdict::Unknown, vec![not_deployed]),
            "orders 2.0.0 may not be deployed to production: it needs stock, and no version of that is in production",
            "Deploy stock to production first, or have it ignored in the PactEnvironment.",
        ),
        (
            missing,
            "orders 2.0.0 may not be deployed to production: the broker has no version 2.0.0 of orders: no pacts or \
             verification results were published with it",
            "Publish its pacts or verification results with exactly this version, or correct the version.",
        ),
        (
            unknown,
            "orders 2.0.0 may not be deployed to production: the broker knows no pacticipant named orders",
            "Publish its pacts, or correct the name in the annotation (case counts).",
        ),
        (
            nowhere,
            "orders 2.0.0 could not be checked for production: the broker has no environment named production",
            "The platform team has to create the environment at the broker, or correct the PactEnvironment.",
        ),
        (
            refused,
            "orders 2.0.0 could not be checked for production: the Pact Broker refused the credentials",
            "The platform team has to mend the broker's credentials: kubectl get pactbroker.",
        ),
        (
            silent,
            "orders 2.0.0 could not be checked for production: it gave no answer within 8.0 s",
            "It is checked again by the operator once the broker answers: kubectl get pactbroker.",
        ),
    ] {
        let finding = finding(GateMode::Enforce, judgement);
        assert_eq!(sentence(&finding), first);
        assert_eq!(remedy(&finding), then);
    }
}

#[test]
fn of_several_findings_the_first_is_named_and_the_others_are_counted_and_explained() {
    let failed = |consumer| of_pairs(Verdict::No, vec![pair(PairResult::Failed, [consumer, "1"], ["orders", "2.0.0"])]);
    let elsewhere = Finding::new(
        subject("europe", Ok(["orders", "2.0.0"])),
        Cause::Judged(failed("web")),
        &rules(GateMode::Enforce),
        true,
    );
    let text = denial(&Decision::over(vec![finding(GateMode::Enforce, failed("mobile")), elsewhere]), |_| None);
    let lines: Vec<_> = text.lines().collect();
    let production = "orders 2.0.0 may not be deployed to production: it failed to verify the pact of mobile 1";
    assert_eq!(lines[0], format!("{production} (and 1 more)"));
    assert_eq!(lines[1], format!("- {production}"));
    assert_eq!(lines[4], "- orders 2.0.0 may not be deployed to europe: it failed to verify the pact of web 1");
}

#[test]
fn a_workload_without_a_version_learns_what_to_correct() {
    let problem = VersionProblem::Mutable { text: "latest".into() };
    let problem = Problem::Version { pacticipant: name("orders"), problem };
    let cause = Cause::Problem(problem.clone());
    let finding = Finding::new(subject("production", Err(problem)), cause, &rules(GateMode::Enforce), true);
    assert_eq!(
        sentence(&finding),
        "orders may not be deployed to production: \"latest\" is never a version, because it does not name one \
         published build: use a tag of its own per build, or state the version in the annotation \
         pact-operator.dev/version where the environment allows it"
    );
    let problem = Problem::Identity(IdentityProblem::EmptyPacticipant);
    let cause = Cause::Problem(problem.clone());
    let finding = Finding::new(subject("production", Err(problem)), cause, &rules(GateMode::Enforce), true);
    assert!(sentence(&finding).starts_with("this Deployment may not be deployed to production: the annotation "));
    let of_kind = Subject { kind: WorkloadKind::DaemonSet, ..finding.subject.clone() };
    let finding = Finding::new(of_kind, finding.cause.clone(), &rules(GateMode::Enforce), true);
    assert!(sentence(&finding).starts_with("this DaemonSet may not be deployed to production: the annotation "));
    assert_eq!(remedy(&finding), "Correct the DaemonSet's annotations or its image tag.");
}

#[test]
fn case_103_a_name_that_others_own_is_denied_with_who_owns_it_and_what_to_do() {
    let owners = vec!["bank".into(), "finance".into()];
    let problem = Problem::NotOwned(NotOwned { pacticipant: name("billing"), namespace: "shop".into(), owners });
    let of = |mode| {
        let subject = subject("production", Err(problem.clone()));
        Finding::new(subject, Cause::Problem(problem.clone()), &rules(mode), true)
    };
    let last = LAST.replace("2.0.0 REASON", "VERSION REASON");
    assert_eq!(
        denial(&Decision::over(vec![of(GateMode::Enforce)]), link),
        format!(
            "billing may not be deployed to production: namespace shop does not own it, only bank and finance do
  Remove the name from the annotation pact-operator.dev/pacticipant, or have the platform team add the namespace shop to \
             spec.owners of the PactEnvironment production.
{last}"
        )
    );
    assert_eq!(
        warnings(&Decision::over(vec![of(GateMode::Warn)])),
        ["billing → production: namespace shop does not own it, only bank and finance do; Enforce would deny it"]
    );
}

#[test]
fn a_statement_that_does_not_count_is_said_with_what_is_wrong() {
    let failed = || of_pairs(Verdict::No, vec![pair(PairResult::Failed, ["web", "1"], ["orders", "2.0.0"])]);
    let stale = Ineffective::OtherVersion { stated: version("1.0.0"), runs: Some(version("2.0.0")) };
    let denied = Decision::over(vec![finding(GateMode::Enforce, failed())]).beside(Bypass::Ineffective(stale.clone()));
    let said = "pact-operator.dev/bypass does not count: it is for 1.0.0, and 2.0.0 would run";
    let text = denial(&denied, |_| None);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[3], format!("The annotation {said}."));
    assert!(lines[4].starts_with("In an emergency: kubectl annotate "), "{text}");
    assert_eq!(Answer::decided(&denied, &[], |_| None).warnings, [said]);
    let warned = Decision::over(vec![finding(GateMode::Warn, failed())]).beside(Bypass::Ineffective(stale.clone()));
    assert_eq!(Answer::decided(&warned, &[], |_| None).warnings.first().map(String::as_str), Some(said));
    let fine = Decision::over(vec![finding(GateMode::Enforce, of_pairs(Verdict::Yes, Vec::new()))]);
    assert_eq!(Answer::decided(&fine.beside(Bypass::Ineffective(stale)), &[], |_| None).warnings, [""; 0]);
}

#[test]
fn a_bypass_is_said_to_whoever_asked_and_to_the_audit_log() {
    let statement = BypassStatement::parse("2.0.0 the shop is down, INC-7").unwrap();
    let answer = Answer::decided(&Decision::over(Vec::new()).beside(Bypass::Counts(statement)), &[], |_| None);
    assert_eq!(answer.denied, None);
    assert_eq!(
        answer.warnings,
        ["not checked with Pact: pact-operator.dev/bypass states 2.0.0 (the shop is down, INC-7)"]
    );
    assert_eq!(answer.audit, [("bypass", "2.0.0 the shop is down, INC-7".to_owned())]);
}

#[test]
fn what_is_unclear_is_no_verdict_and_says_what_to_do() {
    for (unclear, first, then) in [
        (
            Unclear::NamespaceUnread,
            "the labels of the namespace could not be read, so it may lie in the environment",
            "Apply it again: mostly the namespace is known a moment later. If not, the platform team has to look at the \
             log of pact-operator-webhook.",
        ),
        (
            Unclear::BrokenEnvironment { problem: "spec.version.tagPattern: it does not compile".into() },
            "the PactEnvironment cannot be followed: spec.version.tagPattern: it does not compile",
            "The platform team has to correct the PactEnvironment: kubectl get pactenv.",
        ),
        (
            Unclear::Conflicted { claimants: vec!["production".into(), "europe".into()] },
            "the namespace is claimed by production, europe",
            "The platform team has to leave the namespace to one PactEnvironment, or write overlap: Allow in each.",
        ),
    ] {
        let subject = subject("production", Ok(["orders", "2.0.0"]));
        let finding = Finding::new(subject, Cause::Unclear(unclear), &rules(GateMode::Warn), true);
        assert_eq!(sentence(&finding), format!("orders 2.0.0 could not be checked for production: {first}"));
        assert_eq!(remedy(&finding), then);
        assert!(warnings(&Decision::over(vec![finding]))[0].starts_with("orders 2.0.0 → production: "));
    }
}

#[test]
fn a_warning_says_what_enforce_would_do() {
    let failed = || of_pairs(Verdict::No, vec![pair(PairResult::Failed, ["web", "1"], ["orders", "2.0.0"])]);
    let warned = warnings(&Decision::over(vec![finding(GateMode::Warn, failed())]));
    assert_eq!(warned, ["orders 2.0.0 → production: it failed to verify the pact of web 1; Enforce would deny it"]);
    let early = Finding::new(
        subject("production", Ok(["orders", "2.0.0"])),
        Cause::Judged(failed()),
        &rules(GateMode::Enforce),
        false,
    );
    let text = "orders 2.0.0 → production: it failed to verify the pact of web 1; Enforce awaits the list of what runs";
    assert_eq!(warnings(&Decision::over(vec![early])), [text]);
    let mut former = subject("production", Ok(["orders", "2.0.0"]));
    former.basis = Basis::Former;
    let back = Finding::new(former, Cause::Judged(failed()), &rules(GateMode::Enforce), true);
    let text = "orders 2.0.0 → production: it failed to verify the pact of web 1; rollbacks are never blocked";
    assert_eq!(warnings(&Decision::over(vec![back])), [text]);
    let vacuous = finding(GateMode::Enforce, of_pairs(Verdict::YesVacuous, Vec::new()));
    assert_eq!(
        warnings(&Decision::over(vec![vacuous])),
        ["orders 2.0.0 → production: nothing had to be verified, no application in production has a pact with it"]
    );
    for (why, text) in [
        (Vacuous::Contentless, "the version is empty at the broker, without pacts and results"),
        (Vacuous::NoCounterpart, "it has no pacts, and no application in production has one with it"),
        (Vacuous::Ignored, "its pacts are with ignored applications"),
    ] {
        let judgement = Judgement { vacuous: Some(why), ..of_pairs(Verdict::YesVacuous, Vec::new()) };
        let warned = warnings(&Decision::over(vec![finding(GateMode::Enforce, judgement)]));
        assert_eq!(warned, [format!("orders 2.0.0 → production: nothing had to be verified, {text}")]);
    }
}

#[test]
fn the_note_of_an_event_says_why_it_was_admitted_all_the_same() {
    let failed = || of_pairs(Verdict::No, vec![pair(PairResult::Failed, ["web", "1"], ["orders", "2.0.0"])]);
    let audited = finding(GateMode::Audit, failed());
    assert_eq!(
        note(&audited, link(&audited)),
        format!(
            "orders 2.0.0 may not be deployed to production: it failed to verify the pact of web 1; admitted, because the \
             gate only audits. Deploy a version that keeps the pact, or have the other side changed and verified first. \
             S{}",
            &SEE[1..]
        )
    );
}

#[test]
fn names_as_long_as_commits_stay_whole_in_the_first_line() {
    let sha = "0123456789abcdef0123456789abcdef01234567";
    let pairs = vec![pair(PairResult::Failed, ["an-application-with-a-rather-long-name", sha], ["orders", sha])];
    let mut finding = finding(GateMode::Enforce, of_pairs(Verdict::No, pairs));
    finding.subject.identified = Ok(Identified { pacticipant: name("orders"), version: version(sha) });
    let text = denial(&Decision::over(vec![finding]), |_| None);
    let first = text.lines().next().unwrap();
    assert!(first.chars().count() <= FIRST_LINE && first.matches(sha).count() == 2, "{first}");
}

#[test]
fn a_version_that_rolls_out_is_named_as_such() {
    let now = |result, consumer, provider| Pair { in_flight: true, ..pair(result, consumer, provider) };
    let failed = of_pairs(
        Verdict::No,
        vec![
            now(PairResult::Failed, ["web", "3"], ["orders", "2.0.0"]),
            now(PairResult::Unverified, ["orders", "2.0.0"], ["stock", "1.5"]),
        ],
    );
    let text = denial(&Decision::over(vec![finding(GateMode::Enforce, failed)]), link);
    assert!(
        text.starts_with(
            "orders 2.0.0 may not be deployed to production: it failed to verify the pact of web 3 (rolling out now), and \
             1 more pair
  Failed      web 3 → orders 2.0.0 (rolling out now)
  Unverified  orders 2.0.0 → stock 1.5 (rolling out now)
"
        ),
        "{text}"
    );
    let provider = of_pairs(Verdict::Unknown, vec![now(PairResult::Unverified, ["orders", "2.0.0"], ["stock", "1.5"])]);
    assert_eq!(
        sentence(&finding(GateMode::Enforce, provider)),
        "orders 2.0.0 may not be deployed to production: stock 1.5 (rolling out now) has not verified its pact"
    );
}

#[test]
fn a_provider_that_is_only_on_its_way_is_a_warning_of_a_yes() {
    let coming = Pair { in_flight: true, ..pair(PairResult::Verified, ["orders", "2.0.0"], ["stock", "1.5"]) };
    let yes = |pairs| Judgement { cautions: pairs, ..of_pairs(Verdict::Yes, vec![]) };
    for (mode, warned) in [(GateMode::Enforce, true), (GateMode::Warn, true), (GateMode::Audit, false)] {
        let decision = Decision::over(vec![finding(mode, yes(vec![coming.clone()]))]);
        assert_eq!(decision.outcome, Outcome::Allowed);
        let expected = ["orders 2.0.0 → production: it needs stock 1.5, which is only rolling out now"];
        assert_eq!(cautions(&decision), &expected[..usize::from(warned)], "{mode:?}");
    }
    let failed = Pair { in_flight: true, ..pair(PairResult::Failed, ["web", "3"], ["orders", "2.0.0"]) };
    let decision = Decision::over(vec![finding(GateMode::Enforce, yes(vec![failed, coming]))]);
    let expected =
        "orders 2.0.0 → production: it failed to verify the pact of web 3 (rolling out now), and 1 more pair";
    assert_eq!(cautions(&decision), [expected]);
}

#[test]
fn the_link_leaves_out_what_the_question_leaves_out() {
    let ignored = |pacticipant, only: Option<&str>| crate::decide::Ignored {
        pacticipant: name(pacticipant),
        version: only.map(version),
    };
    let question = Question {
        pacticipant: name("orders"),
        version: version("2.0.0"),
        environment: environment_ref("production").environment,
        ignore: vec![ignored("a b", None), ignored("web", Some("7+1"))],
        in_flight: crate::api::gate::InFlight::default(),
    };
    let expected = "https://broker/matrix?q%5B%5D%5Bpacticipant%5D=orders&q%5B%5D%5Bversion%5D=2.0.0\
                    &ignore%5B%5D%5Bpacticipant%5D=a%20b&ignore%5B%5D%5Bpacticipant%5D=web\
                    &ignore%5B%5D%5Bversion%5D=7%2B1&latestby=cvpv&environment=production";
    assert_eq!(matrix_link("https://broker", &question.matrix_query()), expected);
}

#[test]
fn a_name_that_was_put_on_another_application_is_said_below_the_first_line() {
    let judgement = Judgement::without_pairs(Verdict::VersionMissing, "the broker has no version 16.2 of orders");
    let mut subject = subject("production", Ok(["orders", "16.2"]));
    subject.other_image = Some("postgres".into());
    let finding = Finding::new(subject, Cause::Judged(judgement), &rules(GateMode::Enforce), true);
    let hint = "Its image postgres is not the one that is recorded as orders: a common annotation (Kustomize's \
                commonAnnotations, one that a chart gives all its objects) may have put the name there.";
    let text = denial(&Decision::over(vec![finding.clone()]), |_| None);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "orders 16.2 may not be deployed to production: the broker has no version 16.2 of orders");
    assert_eq!(lines[2].trim(), hint, "{text}");
    assert!(lines[2].trim().chars().count() <= FIRST_LINE);
    assert!(note(&finding, None).contains(hint));

    let judgement = Judgement::without_pairs(Verdict::PacticipantUnknown, "the broker does not know orders");
    let other = Finding { cause: Cause::Judged(judgement), ..finding };
    assert_eq!(other_line(&other), None, "another verdict");
}
