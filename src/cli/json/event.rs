//! Events of tasks, one JSON line each. The kind is a key, as in the protocol: `{"revision":3,"task_transition":{…}}`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::ErrorDoc;
use super::task::{OverrideDoc, TaskDoc, effect, lists};
use crate::cli::{times, words};
use crate::proto::v1;
use crate::proto::v1::task_event::Kind;

/// Something that happened to a task.
#[derive(Debug, Serialize)]
pub struct EventDoc {
    seq: i64,
    task_id: i64,
    revision: i64,
    event_time: Option<String>,
    /// Absent: an event of a kind that this version does not know.
    #[serde(flatten)]
    kind: Option<KindDoc>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum KindDoc {
    Created {
        task: Option<Box<TaskDoc>>,
    },
    TaskTransition {
        from: String,
        to: String,
        operation: String,
        error: Option<Box<ErrorDoc>>,
    },
    SubtaskTransition(Box<SubtaskTransitionDoc>),
    IntentRecorded {
        subtask_id: i64,
        intent: i32,
        description: String,
        endpoint: String,
        connection_id: i64,
        horizon: Option<String>,
        fence: i64,
    },
    IntentSettled {
        subtask_id: i64,
        intent: i32,
        outcome: String,
        message: String,
    },
    ContextRecorded {
        subtask_id: i64,
        context: BTreeMap<String, String>,
        list_context: BTreeMap<String, Vec<String>>,
    },
    Override(OverrideDoc),
    Adopted {
        fence: i64,
        executor: String,
    },
    VerbRequested {
        verb: String,
        principal: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        subtask_id: Option<i64>,
    },
    Warning {
        subtask_id: i64,
        code: String,
        message: String,
    },
}

#[derive(Debug, Serialize)]
struct SubtaskTransitionDoc {
    subtask_id: i64,
    name: String,
    from: String,
    to: String,
    operation: String,
    run_time: i32,
    effect: Option<String>,
    executor: String,
    error: Option<ErrorDoc>,
}

impl From<&v1::TaskEvent> for EventDoc {
    fn from(event: &v1::TaskEvent) -> Self {
        Self {
            seq: event.seq,
            task_id: event.task_id,
            revision: event.revision,
            event_time: times::rfc3339(event.event_time.as_ref()),
            kind: event.kind.as_ref().map(KindDoc::from),
        }
    }
}

impl From<&Kind> for KindDoc {
    fn from(kind: &Kind) -> Self {
        match kind {
            Kind::Created(created) => {
                Self::Created { task: created.task.as_ref().map(|task| Box::new(TaskDoc::from(task))) }
            }
            Kind::TaskTransition(transition) => Self::TaskTransition {
                from: words::task_state(transition.from).into_owned(),
                to: words::task_state(transition.to).into_owned(),
                operation: words::task_operation(transition.operation).into_owned(),
                error: transition.error.as_ref().map(|error| Box::new(ErrorDoc::from_kept(error))),
            },
            Kind::SubtaskTransition(transition) => Self::SubtaskTransition(Box::new(SubtaskTransitionDoc {
                subtask_id: transition.subtask_id,
                name: transition.name.clone(),
                from: words::subtask_state(transition.from).into_owned(),
                to: words::subtask_state(transition.to).into_owned(),
                operation: words::subtask_operation(transition.operation).into_owned(),
                run_time: transition.run_time,
                effect: effect(transition.effect),
                executor: transition.executor.clone(),
                error: transition.error.as_ref().map(ErrorDoc::from_kept),
            })),
            Kind::IntentRecorded(intent) => Self::IntentRecorded {
                subtask_id: intent.subtask_id,
                intent: intent.intent,
                description: intent.description.clone(),
                endpoint: intent.endpoint.clone(),
                connection_id: intent.connection_id,
                horizon: times::rfc3339(intent.horizon.as_ref()),
                fence: intent.fence,
            },
            Kind::IntentSettled(intent) => Self::IntentSettled {
                subtask_id: intent.subtask_id,
                intent: intent.intent,
                outcome: words::intent_outcome(intent.outcome).into_owned(),
                message: intent.message.clone(),
            },
            Kind::ContextRecorded(recorded) => Self::ContextRecorded {
                subtask_id: recorded.subtask_id,
                context: recorded.context.clone().into_iter().collect(),
                list_context: lists(&recorded.list_context),
            },
            Kind::Override(item) => Self::Override(OverrideDoc::from(item)),
            Kind::Adopted(adopted) => Self::Adopted { fence: adopted.fence, executor: adopted.executor.clone() },
            Kind::VerbRequested(verb) => Self::VerbRequested {
                verb: words::verb(verb.verb).into_owned(),
                principal: verb.principal.clone(),
                subtask_id: Some(verb.subtask_id).filter(|id| *id != 0),
            },
            Kind::Warning(warning) => Self::Warning {
                subtask_id: warning.subtask_id,
                code: warning.code.clone(),
                message: warning.message.clone(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_document_with_short_words() {
        let event = v1::TaskEvent {
            seq: 9,
            task_id: 12345,
            revision: 3,
            event_time: Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 }),
            kind: Some(Kind::SubtaskTransition(v1::SubtaskTransition {
                subtask_id: 2,
                name: "Stop server".to_owned(),
                from: v1::SubtaskState::Running as i32,
                to: v1::SubtaskState::Successful as i32,
                operation: v1::SubtaskOperation::Execute as i32,
                run_time: 1,
                effect: v1::Effect::Done as i32,
                executor: "host-1".to_owned(),
                error: None,
            })),
        };
        assert_eq!(
            serde_json::to_value(EventDoc::from(&event)).unwrap(),
            serde_json::json!({
                "seq": 9, "task_id": 12345, "revision": 3, "event_time": "2026-01-02T03:04:05.678Z",
                "subtask_transition": {
                    "subtask_id": 2, "name": "Stop server", "from": "RUNNING", "to": "SUCCESSFUL",
                    "operation": "EXECUTE", "run_time": 1, "effect": "DONE", "executor": "host-1", "error": null
                }
            })
        );
    }

    #[test]
    fn what_was_asked_of_a_subtask_names_it() {
        let asked = |verb: v1::TaskVerb, subtask_id| {
            let asked = v1::VerbRequested { verb: verb as i32, principal: "bob".to_owned(), subtask_id };
            let kind = Some(Kind::VerbRequested(asked));
            let document = EventDoc::from(&v1::TaskEvent { seq: 9, task_id: 1, revision: 4, event_time: None, kind });
            serde_json::to_value(document).unwrap()["verb_requested"].clone()
        };
        let rollback = serde_json::json!({"verb": "ROLLBACK", "principal": "bob"});
        assert_eq!(asked(v1::TaskVerb::Rollback, 0), rollback);
        let skip = serde_json::json!({"verb": "SKIP_SUBTASK", "principal": "bob", "subtask_id": 7});
        assert_eq!(asked(v1::TaskVerb::SkipSubtask, 7), skip);
    }

    #[test]
    fn an_unknown_kind_still_tells_its_position() {
        let event = v1::TaskEvent { seq: 9, task_id: 1, revision: 4, event_time: None, kind: None };
        assert_eq!(
            serde_json::to_value(EventDoc::from(&event)).unwrap(),
            serde_json::json!({"seq": 9, "task_id": 1, "revision": 4, "event_time": null})
        );
    }
}
