//! Cancelling as the owner does it: a wait ends at once, an effect is never torn and never left without a look.

use obsteward::domain::reason::Reason;
use tokio::sync::Notify;

use super::*;

impl Fixture {
    /// Asks for the cancellation and tells the owner, as the service does.
    async fn cancel(&self, id: TaskId) -> Task {
        let task = Arc::new(self.store.task(id).await.unwrap().unwrap().task);
        let principal = Principal::new("anna");
        let input = Input::Requested {
            asked: VerbRequest::Cancel,
            principal: principal.clone(),
            reason: Reason::default(),
            if_revision: None,
        };
        let author = Author::Request { principal, nonce: "3".to_owned() };
        match self.engine.committer().write(&task, input, author, |_| Vec::new()).await.unwrap() {
            WriteOutcome::Done { task, .. } => {
                self.engine.notify_request(&task);
                (*task).clone()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the running step says this of its wait.
    async fn says(&self, id: TaskId, words: &str) {
        let said = async {
            while !self.store.task(id).await.unwrap().unwrap().progress.iter().any(|it| it.message.contains(words)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, said).await.expect("a wait without these words");
    }
}

fn outcome(task: &Task) -> Option<IntentOutcome> {
    task.intents[0].outcome
}

/// A step that has done something and now waits, for an hour unless it is told otherwise.
fn waits_behind_an_effect(context: &StepContext) -> Observation {
    if context.task.intents.is_empty() {
        return needed(context, Duration::from_secs(3600), EffectOutcome::Done { message: "done".to_owned() });
    }
    let progress = ProgressReport::uncounted("leaders");
    Observation::Wait { progress, again_in: Duration::from_secs(3600) }
}

/// The end of a wait is the request's, not the end of the wait's pause; and it does not begin what is behind it.
#[tokio::test]
async fn a_cancelled_wait_ends_within_a_second_and_can_be_retried() {
    let operation = TestOperation::default().with("waits", waits_behind_an_effect).with("next", |_| reached());
    let fixture = Fixture::new(operation);
    let id = fixture.begin(&[("waits", &[]), ("next", &["waits"])]).await;
    // Noted behind the look that follows the effect.
    fixture.says(id, "leaders").await;
    let asked = fixture.cancel(id).await;
    let task = fixture.at_rest(id).await;
    assert_eq!(task.state, TaskState::Cancelled);
    assert!(task.resting_since.unwrap().since(asked.last_progress_at) < Duration::from_secs(1));
    assert_eq!(
        (state(&task, "waits"), state(&task, "next").0),
        ((SubtaskState::Failed, Effect::Done), SubtaskState::Pending)
    );
    let error = task.error.clone().unwrap();
    assert_eq!((error.kind, error.reason.as_str()), (FailureKind::Cancelled, "CANCELLED"));
    for part in ["waits was cancelled by anna", "leaders"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
    assert_eq!(fixture.store.lock(&task.spec.cluster.key).await.unwrap().unwrap().holder, Some(id));
    fixture.operation.set("waits", |_| reached());
    assert_eq!(fixture.retry(task).await.state, TaskState::Successful);
}

/// A look that hangs is not waited for when it owes nothing.
#[tokio::test]
async fn a_look_that_hangs_does_not_hold_a_cancellation() {
    struct Hangs;

    #[async_trait]
    impl Step for Hangs {
        async fn look(&self, _: &StepContext) -> Observation {
            std::future::pending().await
        }
    }

    struct Hanging;

    #[async_trait]
    impl Operation for Hanging {
        fn step(&self, _: &SubtaskSpec) -> Option<Arc<dyn Step>> {
            Some(Arc::new(Hangs))
        }

        async fn take_over(&self, _: &StepContext, _: &RecordedIntent, _: Permit) -> Result<String, Failure> {
            Ok("gone".to_owned())
        }

        fn closing_writes(&self, _: &Task) -> Vec<Write> {
            Vec::new()
        }
    }

    let fixture = Fixture::over(Arc::new(Hanging));
    let id = fixture.begin(&[("only", &[])]).await;
    fixture.until(id, |task| task.subtasks[0].state == SubtaskState::Running).await;
    fixture.cancel(id).await;
    let task = fixture.at_rest(id).await;
    assert_eq!(task.state, TaskState::Refused, "it had done nothing");
    assert_eq!(fixture.store.lock(&task.spec.cluster.key).await.unwrap().unwrap().holder, None);
}

/// A request that is on its way is waited for, and what it did is looked at before the step ends.
#[tokio::test]
async fn an_effect_in_flight_is_answered_and_looked_at() {
    struct Slow(Arc<Notify>);

    #[async_trait]
    impl PreparedEffect for Slow {
        async fn send(self: Box<Self>, _: Permit) -> EffectOutcome {
            self.0.notified().await;
            EffectOutcome::Done { message: "signalled".to_owned() }
        }
    }

    for (reaches, expected) in [
        (false, (SubtaskState::Failed, Effect::Done)),
        // The step wins: what it was sent for is seen to be so.
        (true, (SubtaskState::Successful, Effect::Done)),
    ] {
        let (answer, looks_after) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (sent, after) = (answer.clone(), looks_after.clone());
        let operation = TestOperation::default().with("next", |_| reached()).with("kills", move |context| {
            if context.task.intents.is_empty() {
                let Observation::Needed { intent, output, .. } =
                    needed(context, Duration::from_secs(3600), EffectOutcome::Done { message: String::new() })
                else {
                    panic!("no effect");
                };
                return Observation::Needed { intent, output, effect: Box::new(Slow(sent.clone())) };
            }
            after.fetch_add(1, Ordering::SeqCst);
            if reaches { reached() } else { wait_for("the process") }
        });
        let fixture = Fixture::new(operation);
        let id = fixture.begin(&[("kills", &[]), ("next", &["kills"])]).await;
        fixture.until(id, |task| !task.intents.is_empty()).await;
        let task = fixture.cancel(id).await;
        assert_eq!((task.state, outcome(&task)), (TaskState::Canceling, None));
        answer.notify_one();
        let task = fixture.at_rest(id).await;
        assert_eq!((task.state, outcome(&task)), (TaskState::Cancelled, Some(IntentOutcome::Done)));
        assert_eq!((state(&task, "kills"), looks_after.load(Ordering::SeqCst)), (expected, 1));
        assert_eq!(state(&task, "next").0, SubtaskState::Pending);
    }
}

/// What is not known is resolved first: by a look that finds it, or by the moment from which it can no longer happen.
#[tokio::test]
async fn an_unknown_effect_is_resolved_before_the_end() {
    for happens in [false, true] {
        let told = Arc::new(AtomicBool::new(false));
        let seen = told.clone();
        let horizon = Duration::from_millis(if happens { 3_600_000 } else { 1500 });
        let operation = TestOperation::default().with("next", |_| reached()).with("only", move |context| {
            if context.task.intents.is_empty() {
                return needed(context, horizon, EffectOutcome::Unknown { message: "lost".to_owned() });
            }
            if happens && seen.load(Ordering::SeqCst) { reached() } else { wait_for("an answer") }
        });
        let fixture = Fixture::new(operation);
        let id = fixture.begin(&[("only", &[]), ("next", &["only"])]).await;
        fixture.until(id, |task| task.intents.first().is_some_and(|intent| intent.outcome.is_some())).await;
        fixture.cancel(id).await;
        fixture.says(id, "can no longer take effect").await;
        told.store(true, Ordering::SeqCst);
        let task = fixture.at_rest(id).await;
        let end = task.subtasks[0].finished_at.unwrap();
        if happens {
            assert_eq!(
                (task.state, state(&task, "only")),
                (TaskState::Cancelled, (SubtaskState::Successful, Effect::Done))
            );
        } else {
            assert_eq!((task.state, outcome(&task)), (TaskState::Refused, Some(IntentOutcome::Void)));
            assert!(end >= task.intents[0].intent.horizon, "ended before the horizon");
        }
        assert_eq!(state(&task, "next").0, SubtaskState::Pending);
    }
}
