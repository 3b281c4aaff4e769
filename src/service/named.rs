//! What a mutation is about, in words for the audit log: the same words whether it is accepted or refused. Pure. No secret
//! is among the arguments: of passwords and keys only that they were given.

use crate::domain::call::Call;
use crate::domain::ids::{AccessKeyId, ClusterId, Principal, RoleName, TaskId};
use crate::domain::permission::Permission;
use crate::domain::refusal::Refusal;
use crate::service::arguments::{
    Caller, CreateUser, RegisterCluster, RestartServer, SkipSubtask, StartServer, StopServer, TaskRequest,
    UpdateCluster, UpdateUser,
};
use crate::store::{AuditOutcome, AuditRecord};

/// Longest arguments of an audit record, in bytes.
pub const LONGEST_ARGUMENTS: usize = 1024;
/// Longest target of an audit record, in bytes.
const LONGEST_TARGET: usize = 256;

/// What a mutation is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// For example `cluster 1 server 2`.
    pub target: String,
    /// Its cluster, as far as it is known.
    pub cluster: Option<ClusterId>,
    /// Its task, as far as it is known.
    pub task: Option<TaskId>,
    /// `name=value`, separated by spaces.
    pub arguments: String,
}

impl Named {
    fn of(target: String, arguments: String) -> Self {
        Self { target, arguments, ..Self::default() }
    }

    /// As a record of the audit log.
    pub fn record(
        self,
        caller: &Caller,
        call: Call,
        at: crate::clock::Timestamp,
        outcome: AuditOutcome,
    ) -> AuditRecord {
        AuditRecord {
            at,
            principal: caller.principal.clone(),
            address: caller.address.clone(),
            call,
            target: bounded(self.target, LONGEST_TARGET),
            cluster: self.cluster,
            task: self.task,
            arguments: bounded(self.arguments, LONGEST_ARGUMENTS),
            outcome,
            trace_id: caller.trace_id.clone(),
        }
    }
}

/// Cut so that it ends with `…` and is not longer than `longest` bytes.
fn bounded(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

/// StopServer. The arguments are one canonical line: a repeat by request id must have the same.
pub(super) fn stop_server(asked: &StopServer) -> Named {
    let risks: Vec<&str> = asked.accepted_risks.iter().map(|risk| risk.as_str()).collect();
    let expected = asked.expected_server.map(|addr| addr.to_string()).unwrap_or_default();
    let expire = asked.expire_time.map(|at| at.as_micros().to_string()).unwrap_or_default();
    // Only when it is asked for: the line of a request without it stays the one that earlier versions kept.
    let freeze = if asked.freeze_before_stop { " freeze_before_stop=true" } else { "" };
    Named {
        target: format!("cluster {} server {}", asked.cluster, asked.server),
        cluster: Some(asked.cluster),
        task: None,
        arguments: format!(
            "cluster_id={} server_id={} force={} accept_risks={} type={} expected_server={expected} expire_time={expire}{freeze}",
            asked.cluster,
            asked.server,
            asked.force,
            risks.join(","),
            asked.stop_type
        ),
    }
}

/// StartServer, as [`stop_server`].
pub(super) fn start_server(asked: &StartServer) -> Named {
    let expected = asked.expected_server.map(|addr| addr.to_string()).unwrap_or_default();
    Named {
        target: format!("cluster {} server {}", asked.cluster, asked.server),
        cluster: Some(asked.cluster),
        task: None,
        arguments: format!("start cluster_id={} server_id={} expected_server={expected}", asked.cluster, asked.server),
    }
}

/// RestartServer, as [`stop_server`].
pub(super) fn restart_server(asked: &RestartServer) -> Named {
    let risks: Vec<&str> = asked.accepted_risks.iter().map(|risk| risk.as_str()).collect();
    let expected = asked.expected_server.map(|addr| addr.to_string()).unwrap_or_default();
    let expire = asked.expire_time.map(|at| at.as_micros().to_string()).unwrap_or_default();
    Named {
        target: format!("cluster {} server {}", asked.cluster, asked.server),
        cluster: Some(asked.cluster),
        task: None,
        arguments: format!(
            "restart cluster_id={} server_id={} force={} accept_risks={} expected_server={expected} expire_time={expire} freeze_before_stop={}",
            asked.cluster,
            asked.server,
            asked.force,
            risks.join(","),
            asked.freeze_before_stop
        ),
    }
}

/// SkipSubtask.
pub(super) fn skip_subtask(asked: &SkipSubtask) -> Named {
    let if_revision = asked.if_revision.map(|revision| revision.to_string()).unwrap_or_default();
    Named {
        target: format!("task {} subtask {}", asked.task, asked.subtask),
        cluster: None,
        task: Some(asked.task),
        arguments: format!("if_revision={if_revision}"),
    }
}

/// RetryTask, RollbackTask, CancelTask and GiveUpTask.
pub(super) fn task(asked: &TaskRequest) -> Named {
    let if_revision = asked.if_revision.map(|revision| revision.to_string()).unwrap_or_default();
    let expire = asked.expire_time.map(|at| at.as_micros().to_string()).unwrap_or_default();
    Named {
        target: format!("task {}", asked.task),
        cluster: None,
        task: Some(asked.task),
        arguments: format!("if_revision={if_revision} expire_time={expire}"),
    }
}

/// RegisterCluster; `name` is the cluster's, once it is known.
pub(super) fn register_cluster(asked: &RegisterCluster, name: Option<&str>) -> Named {
    let name = name.or(asked.expected_name.as_deref()).unwrap_or_default();
    let arguments = format!("endpoints={} username={}", asked.endpoints.join(","), asked.username);
    Named { cluster: asked.cluster, ..Named::of(format!("cluster {name}").trim_end().to_owned(), arguments) }
}

/// UpdateCluster.
pub(super) fn update_cluster(asked: &UpdateCluster) -> Named {
    let given = [
        (asked.endpoints.is_some(), "endpoints"),
        (asked.username.is_some(), "username"),
        (asked.password.is_some(), "password"),
        (asked.hosts.is_some(), "hosts"),
        (asked.default_host.is_some(), "default_host"),
    ];
    let changed: Vec<&str> = given.into_iter().filter_map(|(given, name)| given.then_some(name)).collect();
    Named { arguments: format!("changes={}", changed.join(",")), ..cluster(asked.cluster) }
}

/// DeregisterCluster.
pub(super) fn cluster(cluster: ClusterId) -> Named {
    Named { cluster: Some(cluster), ..Named::of(format!("cluster {cluster}"), String::new()) }
}

/// CreateUser.
pub(super) fn create_user(asked: &CreateUser) -> Named {
    let arguments = format!(
        "roles={} certificate_names={} password={}",
        joined(&asked.roles),
        asked.certificate_names.join(","),
        if asked.password.is_some() { "given" } else { "none" },
    );
    Named::of(format!("user {}", asked.name), arguments)
}

/// UpdateUser.
pub(super) fn update_user(asked: &UpdateUser) -> Named {
    let mut arguments = Vec::new();
    arguments.extend(asked.roles.as_deref().map(|roles| format!("roles={}", joined(roles))));
    let names = asked.certificate_names.as_deref();
    arguments.extend(names.map(|names| format!("certificate_names={}", names.join(","))));
    arguments.extend(asked.disabled.map(|disabled| format!("disabled={disabled}")));
    Named::of(format!("user {}", asked.name), arguments.join(" "))
}

/// SetPassword and CreateAccessKey.
pub(super) fn user(name: &Principal) -> Named {
    Named::of(format!("user {name}"), String::new())
}

/// UpdateAccessKey and RotateAccessKey. The id of a key is no secret.
pub(super) fn access_key(key: &AccessKeyId, disabled: Option<bool>) -> Named {
    let arguments = disabled.map(|disabled| format!("disabled={disabled}")).unwrap_or_default();
    Named::of(format!("access key {key}"), arguments)
}

/// CreateRole.
pub(super) fn create_role(name: &RoleName, permissions: &[Permission]) -> Named {
    Named { arguments: format!("permissions={}", joined(permissions)), ..role(name) }
}

/// DeleteRole.
pub(super) fn role(name: &RoleName) -> Named {
    Named::of(format!("role {name}"), String::new())
}

/// BackupStore.
pub(super) fn store() -> Named {
    Named::of("store".to_owned(), String::new())
}

/// A request whose arguments are not valid: the fields that are wrong, without what they hold.
pub(super) fn invalid(refusal: &Refusal) -> Named {
    let mut arguments = String::new();
    if let Refusal::InvalidArgument(violations) = refusal {
        let fields: Vec<&str> = violations.told.iter().map(|violation| violation.field.as_str()).collect();
        arguments = format!("invalid_fields={}", fields.join(","));
    }
    Named::of(String::new(), arguments)
}

fn joined<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_where_a_letter_ends() {
        assert_eq!(bounded("short".to_owned(), 1024), "short");
        for letter in ["a", "é", "集"] {
            let cut = bounded(letter.repeat(2000), 1024);
            assert!(cut.len() <= 1024 && cut.len() > 1015 && cut.ends_with('…'), "{}", cut.len());
        }
    }
}
