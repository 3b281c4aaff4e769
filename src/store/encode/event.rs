//! One event to its stored form and back.

use super::{damaged, fact, failure, from_failure, needed, spec, subtask_id, word};
use crate::clock::Timestamp;
use crate::domain::approval::{Approval, PlanDigest};
use crate::domain::effect::Intent;
use crate::domain::event::{Event, EventKind, OverriddenCheck};
use crate::domain::ids::{Fence, Principal, SubtaskId};
use crate::domain::reason::Reason;
use crate::proto::store_v1 as stored;
use crate::proto::store_v1::event::Kind;
use crate::store::StoreError;

pub(super) fn to_stored(event: &Event) -> stored::Event {
    stored::Event { at_us: event.at.as_micros(), kind: Some(kind(&event.kind)) }
}

fn kind(kind: &EventKind) -> Kind {
    match kind {
        EventKind::Created(spec) => Kind::Created(stored::Created { spec: Some(spec::to_stored(spec)) }),
        EventKind::TaskStateChanged { from, to, operation, error } => Kind::TaskMoved(stored::TaskMoved {
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            operation: operation.as_str().to_owned(),
            error: error.as_ref().map(failure),
        }),
        EventKind::SubtaskStateChanged { subtask, from, to, operation, run_time, effect, executor, error } => {
            Kind::SubtaskMoved(stored::SubtaskMoved {
                subtask: subtask.get(),
                from: from.as_str().to_owned(),
                to: to.as_str().to_owned(),
                operation: operation.as_str().to_owned(),
                run_time: *run_time,
                effect: effect.as_str().to_owned(),
                executor: executor.clone(),
                error: error.as_ref().map(failure),
            })
        }
        EventKind::IntentRecorded { subtask, number, intent, fence } => Kind::IntentRecorded(stored::IntentRecorded {
            subtask: subtask.get(),
            number: *number,
            intent: Some(stored::Intent {
                description: intent.description.clone(),
                endpoint: intent.endpoint.clone(),
                connection_id: intent.connection_id,
                horizon_us: intent.horizon.as_micros(),
                irreversible: intent.irreversible,
            }),
            fence: fence.get(),
        }),
        EventKind::IntentSettled { subtask, number, outcome, message } => Kind::IntentSettled(stored::IntentSettled {
            subtask: subtask.get(),
            number: *number,
            outcome: outcome.as_str().to_owned(),
            message: message.clone(),
        }),
        EventKind::FactsRecorded { subtask, facts } => Kind::FactsRecorded(stored::FactsRecorded {
            subtask: subtask.get(),
            facts: facts.iter().map(fact::to_stored).collect(),
        }),
        EventKind::Overridden(overridden) => Kind::Overridden(stored::Overridden {
            check: overridden.check.clone(),
            evidence: overridden.evidence.clone(),
            overridden_by: overridden.overridden_by.as_str().to_owned(),
            principal: overridden.principal.as_str().to_owned(),
        }),
        EventKind::Adopted { fence, executor } => {
            Kind::Adopted(stored::Adopted { fence: fence.get(), executor: executor.clone() })
        }
        EventKind::VerbRequested { verb, principal, reason, expire_time, subtask } => {
            Kind::VerbRequested(stored::VerbRequested {
                verb: verb.as_str().to_owned(),
                principal: principal.as_str().to_owned(),
                reason: reason.as_str().to_owned(),
                expire_time_us: expire_time.map(Timestamp::as_micros),
                subtask: subtask.map(SubtaskId::get),
            })
        }
        EventKind::Approved { approval, reason } => Kind::Approved(stored::Approved {
            principal: approval.by.as_str().to_owned(),
            plan: approval.plan.as_str().to_owned(),
            expire_time_us: approval.expire_time.as_micros(),
            reason: reason.as_str().to_owned(),
        }),
        EventKind::ApprovalEnded { by, why, reason } => Kind::ApprovalEnded(stored::ApprovalEnded {
            principal: by.as_str().to_owned(),
            why: why.as_str().to_owned(),
            reason: reason.as_str().to_owned(),
        }),
        EventKind::Warned { subtask, code, message } => {
            Kind::Warned(stored::Warned { subtask: subtask.get(), code: code.clone(), message: message.clone() })
        }
    }
}

pub(super) fn from_stored(event: stored::Event) -> Result<Event, StoreError> {
    let kind = event.kind.ok_or_else(|| {
        damaged("an event is of a kind that this version does not know; start the newer version that wrote it")
    })?;
    let at = Timestamp::from_micros(event.at_us);
    Ok(Event { at, kind: from_kind(kind, at)? })
}

fn from_kind(kind: Kind, at: Timestamp) -> Result<EventKind, StoreError> {
    Ok(match kind {
        Kind::Created(created) => {
            EventKind::Created(Box::new(spec::from_stored(needed("specification of a task", created.spec)?)?))
        }
        Kind::TaskMoved(moved) => EventKind::TaskStateChanged {
            from: word("task moved", &moved.from)?,
            to: word("task moved", &moved.to)?,
            operation: word("task moved", &moved.operation)?,
            error: moved.error.map(from_failure).transpose()?,
        },
        Kind::SubtaskMoved(moved) => EventKind::SubtaskStateChanged {
            subtask: subtask_id(moved.subtask)?,
            from: word("subtask moved", &moved.from)?,
            to: word("subtask moved", &moved.to)?,
            operation: word("subtask moved", &moved.operation)?,
            run_time: moved.run_time,
            effect: word("subtask moved", &moved.effect)?,
            executor: moved.executor,
            error: moved.error.map(from_failure).transpose()?,
        },
        Kind::IntentRecorded(recorded) => {
            let intent = needed("intent", recorded.intent)?;
            EventKind::IntentRecorded {
                subtask: subtask_id(recorded.subtask)?,
                number: recorded.number,
                intent: Intent {
                    description: intent.description,
                    endpoint: intent.endpoint,
                    connection_id: intent.connection_id,
                    horizon: Timestamp::from_micros(intent.horizon_us),
                    irreversible: intent.irreversible,
                },
                fence: Fence::new(recorded.fence),
            }
        }
        Kind::IntentSettled(settled) => EventKind::IntentSettled {
            subtask: subtask_id(settled.subtask)?,
            number: settled.number,
            outcome: word("intent settled", &settled.outcome)?,
            message: settled.message,
        },
        Kind::FactsRecorded(recorded) => EventKind::FactsRecorded {
            subtask: subtask_id(recorded.subtask)?,
            facts: recorded.facts.into_iter().map(fact::from_stored).collect::<Result<_, _>>()?,
        },
        Kind::Overridden(overridden) => EventKind::Overridden(OverriddenCheck {
            check: overridden.check,
            evidence: overridden.evidence,
            overridden_by: word("overridden", &overridden.overridden_by)?,
            principal: Principal::new(overridden.principal),
        }),
        Kind::Adopted(adopted) => EventKind::Adopted { fence: Fence::new(adopted.fence), executor: adopted.executor },
        Kind::VerbRequested(requested) => EventKind::VerbRequested {
            verb: word("verb requested", &requested.verb)?,
            principal: Principal::new(requested.principal),
            reason: Reason::from_stored(requested.reason),
            expire_time: requested.expire_time_us.map(Timestamp::from_micros),
            subtask: requested.subtask.map(subtask_id).transpose()?,
        },
        Kind::Approved(approved) => EventKind::Approved {
            approval: Approval {
                by: Principal::new(approved.principal),
                plan: PlanDigest::new(approved.plan),
                at,
                expire_time: Timestamp::from_micros(approved.expire_time_us),
            },
            reason: Reason::from_stored(approved.reason),
        },
        Kind::ApprovalEnded(ended) => EventKind::ApprovalEnded {
            by: Principal::new(ended.principal),
            why: word("approval ended", &ended.why)?,
            reason: Reason::from_stored(ended.reason),
        },
        Kind::Warned(warned) => {
            EventKind::Warned { subtask: subtask_id(warned.subtask)?, code: warned.code, message: warned.message }
        }
    })
}
