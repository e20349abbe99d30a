//! Who waits, in which order, and what becomes of an answer that nobody waited for.

use super::*;

/// Case 78: a GitOps controller tries again twenty seconds later.
#[tokio::test]
async fn an_answer_that_came_too_late_is_kept_until_it_is_asked_for_or_something_changed() {
    let fake = Fake::start().await;
    let questions = fake.questions(4);
    for (version, verdict) in [("no-1", Verdict::No), ("yes-1", Verdict::Yes)] {
        for changed in [false, true] {
            fake.hold(true);
            let question = about(&format!("{version}-{changed}"));
            let (answer, _) = questions.ask(&question, caller(), Instant::now() + Duration::from_millis(20)).await;
            assert_eq!(answer.verdict, Verdict::BrokerUnavailable);
            fake.wait_asked(question.version.as_str(), 1).await;
            fake.hold(false);
            while under_way(&questions) > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // Longer than any other answer is kept would be a slow test: it is marked, which the expiry goes by.
            let late = || questions.shared.answers.iter().filter(|(_, kept)| kept.late).count();
            assert_eq!(late(), 1);
            if changed {
                questions.forget(&question.environment);
            }
            let source = if changed { Source::Asked } else { Source::Remembered };
            assert_eq!(ask(&questions, &question).await, (verdict, source));
            questions.shared.answers.invalidate_all();
        }
    }
}

/// A tool asks for the moment: what it did not wait for must not admit a rollout minutes later.
#[tokio::test]
async fn an_answer_that_came_too_late_for_a_tool_lives_no_longer_than_any_other() {
    for (urgency, kept) in [(Urgency::Asked, 0), (Urgency::Strange, 0), (Urgency::Audited, 1)] {
        let fake = Fake::start().await;
        let questions = fake.questions(4);
        fake.hold(true);
        let question = about("yes-1");
        let caller = Caller { urgency, namespace: "shop".to_owned() };
        questions.ask(&question, caller, Instant::now() + Duration::from_millis(20)).await;
        fake.wait_asked("yes-1", 1).await;
        fake.hold(false);
        while under_way(&questions) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let late = questions.shared.answers.iter().filter(|(_, kept)| kept.late).count();
        assert_eq!(late, kept, "{urgency:?}");
    }
}

/// Case 79: what nobody waits for fills neither the queue nor the slots.
#[tokio::test]
async fn an_enforced_question_passes_a_flood_of_audits() {
    let fake = Fake::start().await;
    let questions = fake.questions(2);
    fake.hold(true);
    let audit = |number: usize| {
        let (questions, question) = (questions.clone(), about(&format!("yes-audit-{number}")));
        let caller = Caller { urgency: Urgency::Audited, namespace: "dev".to_owned() };
        async move { questions.ask(&question, caller, Instant::now() + SOON).await.1 }
    };
    let audits: Vec<_> = (0..200).map(|number| tokio::spawn(audit(number))).collect();
    fake.wait_asked("yes-audit", 1).await;
    while under_way(&questions) < most_waiting(Urgency::Audited) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (asking, question) = (questions.clone(), about("yes-enforced"));
    let enforced = tokio::spawn(async move { ask(&asking, &question).await });
    fake.wait_asked("yes-enforced", 1).await;
    assert_eq!(fake.asked("yes-audit"), 1, "audits have half of the slots");
    fake.hold(false);
    assert_eq!(enforced.await.unwrap(), (Verdict::Yes, Source::Asked));
    let mut asked = 0;
    for audit in audits {
        asked += usize::from(audit.await.unwrap() == Source::Asked);
    }
    assert_eq!(asked, most_waiting(Urgency::Audited), "the others were refused at once");
}

#[tokio::test(start_paused = true)]
async fn case_115_changes_of_environments_that_are_gone_take_no_room() {
    let fake = Fake::start().await;
    let questions = fake.questions(1);
    for number in 0..100 {
        questions.forget(&EnvironmentName::parse(&format!("preview-{number}")).unwrap());
        tokio::time::advance(Duration::from_mins(1)).await;
    }
    let left = questions.shared.state().changes.len();
    assert!((1..=11).contains(&left), "{left}");
}
