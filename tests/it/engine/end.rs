//! Letting go at the end of the process: a wait is dropped where it waits, an effect in flight is heard.

use obsteward::clock::monotonic_now;
use tokio::sync::Notify;

use super::*;

/// A step that waits for what never comes: in a look, or in the pause behind one.
struct Waits {
    looks: bool,
    reached: Arc<Notify>,
}

#[async_trait]
impl Step for Waits {
    async fn look(&self, _: &StepContext) -> Observation {
        self.reached.notify_one();
        if self.looks {
            std::future::pending::<()>().await;
        }
        Observation::Wait { progress: ProgressReport::uncounted("it"), again_in: Duration::from_secs(3600) }
    }
}

struct Waiting(Arc<Waits>);

#[async_trait]
impl Operation for Waiting {
    fn step(&self, _: &SubtaskSpec) -> Option<Arc<dyn Step>> {
        Some(self.0.clone())
    }

    async fn take_over(&self, _: &StepContext, _: &RecordedIntent, _: Permit) -> Result<String, Failure> {
        Ok(String::new())
    }

    fn closing_writes(&self, _: &Task) -> Vec<Write> {
        Vec::new()
    }
}

/// Under paused time, in which a wait that does not hear the end takes exactly as long as it is bounded.
#[tokio::test(start_paused = true)]
async fn no_wait_holds_the_end_up() {
    for looks in [true, false] {
        let reached = Arc::new(Notify::new());
        let fixture = Fixture::over(Arc::new(Waiting(Arc::new(Waits { looks, reached: reached.clone() }))));
        let id = fixture.begin(&[("first", &[]), ("second", &["first"])]).await;
        reached.notified().await;
        let began = monotonic_now();
        fixture.engine.shut_down().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "{looks}");
        assert_eq!(fixture.engine.running(), 0, "{looks}");
        assert_eq!(fixture.store.task(id).await.unwrap().unwrap().task.state, TaskState::Running);
    }
}

/// An effect whose answer comes when it is let.
struct Slow {
    sent: Arc<Notify>,
    answer: Arc<Notify>,
}

#[async_trait]
impl PreparedEffect for Slow {
    async fn send(self: Box<Self>, _: Permit) -> EffectOutcome {
        self.sent.notify_one();
        self.answer.notified().await;
        EffectOutcome::Done { message: "done".to_owned() }
    }
}

/// What is known of an effect that was in flight is on disk before the task is let go, and nothing begins behind it.
#[tokio::test]
async fn an_effect_in_flight_is_heard_and_none_begins_behind_it() {
    let (sent, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = (sent.clone(), answer.clone());
    let operation = TestOperation::default().with("only", move |context| {
        let mut look = needed(context, Duration::from_secs(3600), EffectOutcome::Done { message: String::new() });
        if let Observation::Needed { effect, .. } = &mut look {
            *effect = Box::new(Slow { sent: slow.0.clone(), answer: slow.1.clone() });
        }
        look
    });
    let fixture = Fixture::new(operation);
    let id = fixture.begin(&[("only", &[])]).await;
    sent.notified().await;
    let answering = async {
        // On this thread everything that could let go of it has had its turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(fixture.engine.running(), 1, "it was let go");
        answer.notify_one();
    };
    tokio::join!(fixture.engine.shut_down(), answering);
    assert_eq!(fixture.engine.running(), 0);
    let task = fixture.store.task(id).await.unwrap().unwrap().task;
    assert_eq!(task.intents.iter().map(|intent| intent.outcome).collect::<Vec<_>>(), [Some(IntentOutcome::Done)]);
}
