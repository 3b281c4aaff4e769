//! Users, keys, roles and audit records as messages. Hashes of passwords and secrets of keys are in none of them.

use crate::domain::ids::{ClusterId, TaskId};
use crate::notify::{TargetKind, TargetView};
use crate::proto::v1;
use crate::service::ReplicaView;
use crate::service::views::{AccessKeyView, RoleView, UserView};
use crate::store::AuditOutcome;
use crate::store::access::StoredAuditRecord;
use crate::store::replicas::ReplicaState;
use crate::watch::encode::timestamp;

pub fn user(view: &UserView) -> v1::User {
    let row = &view.row;
    v1::User {
        id: row.id.get(),
        name: row.name.to_string(),
        roles: row.roles.iter().map(ToString::to_string).collect(),
        certificate_names: row.certificate_names.clone(),
        disabled: row.disabled,
        has_password: row.password_hash.is_some(),
        create_time: Some(timestamp(row.create_time)),
        password_time: row.password_time.map(timestamp),
        permissions: view.permissions.iter().map(ToString::to_string).collect(),
    }
}

/// An access key, without its secret.
pub fn access_key(view: &AccessKeyView) -> v1::AccessKey {
    v1::AccessKey {
        id: view.row.id.to_string(),
        user: view.user.to_string(),
        disabled: view.row.disabled,
        create_time: Some(timestamp(view.row.create_time)),
        rotate_time: Some(timestamp(view.row.rotate_time)),
    }
}

pub fn role(view: &RoleView) -> v1::Role {
    v1::Role {
        name: view.name.to_string(),
        permissions: view.permissions.iter().map(ToString::to_string).collect(),
        builtin: view.create_time.is_none(),
        create_time: view.create_time.map(timestamp),
    }
}

pub fn replica(view: &ReplicaView) -> v1::Replica {
    let ReplicaView { row, answering, has_lease } = view;
    v1::Replica {
        id: row.id.get(),
        name: row.name.clone(),
        address: row.address.clone(),
        version: row.version.clone(),
        state: match row.state {
            ReplicaState::Live => v1::ReplicaState::Live,
            ReplicaState::Left => v1::ReplicaState::Left,
            ReplicaState::Buried => v1::ReplicaState::Buried,
        }
        .into(),
        tasks: i32::try_from(row.tasks).unwrap_or(i32::MAX),
        start_time: Some(timestamp(row.start_time)),
        renew_time: has_lease.then(|| timestamp(row.renew_time)),
        end_time: row.end_time.map(timestamp),
        answering: *answering,
    }
}

pub fn notification_target(view: &TargetView) -> v1::NotificationTarget {
    let TargetView { target, standing } = view;
    let standing = standing.as_ref();
    v1::NotificationTarget {
        name: target.name.clone(),
        kind: match target.kind {
            TargetKind::Webhook => v1::NotificationTargetKind::Webhook,
            TargetKind::Alertmanager => v1::NotificationTargetKind::Alertmanager,
        }
        .into(),
        host: target.host.clone(),
        events: target.events.iter().map(|event| event.as_str().to_owned()).collect(),
        clusters: target.clusters.clone(),
        seq: match target.kind {
            TargetKind::Webhook => standing.map(|standing| standing.seq.get()),
            TargetKind::Alertmanager => None,
        },
        delivery_time: standing.and_then(|standing| standing.delivered_at).map(timestamp),
        failing_since: standing.and_then(|standing| standing.failing_since).map(timestamp),
        error: standing.map(|standing| standing.error.clone()).unwrap_or_default(),
    }
}

pub fn audit_record(stored: &StoredAuditRecord) -> v1::AuditRecord {
    let record = &stored.record;
    let (result, refusal) = match &record.outcome {
        AuditOutcome::Accepted => (v1::AuditResult::Accepted, String::new()),
        AuditOutcome::Refused { reason } => (v1::AuditResult::Refused, reason.clone()),
    };
    v1::AuditRecord {
        id: stored.id,
        time: Some(timestamp(record.at)),
        principal: record.principal.to_string(),
        address: record.address.clone(),
        operation: record.call.to_string(),
        target: record.target.clone(),
        cluster_id: record.cluster.map(ClusterId::get),
        task_id: record.task.map(TaskId::get),
        arguments: record.arguments.clone(),
        reason: record.reason.to_string(),
        result: result.into(),
        refusal,
        trace_id: record.trace_id.clone(),
    }
}
