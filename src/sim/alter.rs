//! ALTER SYSTEM: what the SQL session does, and what it hands to the root service.
//!
//! STOP SERVER has three phases. A (precheck) and B (mark) happen at the root service: they go on there when the
//! session is gone. C (wait for the leaders) happens in the session.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Shared};
use super::errors::SqlRefusal;
use super::execute::{DONE, End, StatementContext, until};
use super::fault::{FaultKind, Scope};
use super::record::{Kind, RecordEntry};
use super::rules::{self, StopKind};
use super::statement::Command;
use super::time::{self, Micros};

/// The servers that a command names.
pub fn targets(core: &Core, command: &Command) -> Vec<i64> {
    match command {
        Command::StopServers { addresses, .. }
        | Command::StartServers { addresses, .. }
        | Command::MinorFreeze { addresses } => {
            addresses.iter().filter_map(|address| core.cluster.server_at(address)).map(|server| server.id).collect()
        }
        Command::Zone { name, .. } => {
            let own = core.cluster.servers.iter().filter(|server| server.zone.eq_ignore_ascii_case(name));
            own.map(|server| server.id).collect()
        }
        _ => Vec::new(),
    }
}

pub async fn alter(shared: &Arc<Shared>, asker: &StatementContext, targets: &[i64], command: Command) -> End {
    if let Err(end) = root_service(shared, asker).await {
        return end;
    }
    match command {
        Command::StopServers { operation, addresses, zone } => {
            stop(shared, asker, targets, Stop::Servers { operation, addresses, zone }).await
        }
        Command::StartServers { addresses, zone } => {
            shared.with(|core, now| done(core.start_servers(&addresses, zone.as_deref(), Some(asker.session), now)))
        }
        Command::Zone { active: false, force, name } => stop(shared, asker, targets, Stop::Zone { force, name }).await,
        Command::Zone { active: true, name, .. } => {
            shared.with(|core, now| done(core.set_zone(&name, true, false, Some(asker.session), now)))
        }
        Command::MinorFreeze { addresses } => {
            shared.with(|core, now| minor_freeze(core, asker, addresses.is_empty(), targets, now))
        }
        Command::SetParameters(assignments) => shared.with(|core, now| set_parameters(core, asker, assignments, now)),
        _ => SqlRefusal::new(4007, "this statement not supported").into(),
    }
}

fn done(result: Result<(), SqlRefusal>) -> End {
    result.map_or_else(End::from, |()| DONE)
}

/// Waits for a root service, within the statement's time.
async fn root_service(shared: &Shared, asker: &StatementContext) -> Result<i64, End> {
    loop {
        if let Some(root) = shared.with(|core, _| core.cluster.root_service()) {
            return Ok(root);
        }
        if shared.clock.now() >= asker.deadline {
            return Err(SqlRefusal::query_timeout(asker.limit).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

enum Stop {
    Servers { operation: StopKind, addresses: Vec<String>, zone: Option<String> },
    Zone { force: bool, name: String },
}

async fn stop(shared: &Arc<Shared>, asker: &StatementContext, targets: &[i64], stop: Stop) -> End {
    let scope = Scope { endpoint: asker.server, statement: &asker.text, targets };
    let take = |want: fn(&FaultKind) -> bool| shared.with(|core, now| core.take(now, &scope, want));
    let before = take(|kind| {
        matches!(
            kind,
            FaultKind::CutBeforeMark
                | FaultKind::LateMark { .. }
                | FaultKind::RootServiceFailover { marked: false, .. }
        )
    });
    match before {
        Some(FaultKind::CutBeforeMark) => return End::Cut,
        Some(FaultKind::LateMark { delay_ms }) => {
            at_root_service(shared, asker, stop, delay_ms);
            return End::Cut;
        }
        Some(FaultKind::RootServiceFailover { number, .. }) => return failed_over(shared, number),
        _ => {}
    }
    let waits = !matches!(stop, Stop::Servers { operation: StopKind::Isolate, .. });
    let marked = tokio::select! {
        biased;
        marked = at_root_service(shared, asker, stop, 0) => marked.unwrap_or_else(|_| Err(SqlRefusal::new(4016, "Internal error"))),
        () = until(shared, asker.deadline) => return SqlRefusal::query_timeout(asker.limit).into(),
    };
    if let Err(refusal) = marked {
        return refusal.into();
    }
    let after = take(|kind| {
        matches!(
            kind,
            FaultKind::CutAfterMark
                | FaultKind::TimeoutAfterMark
                | FaultKind::LeaderWaitTimeout
                | FaultKind::RootServiceFailover { marked: true, .. }
        )
    });
    match after {
        Some(FaultKind::RootServiceFailover { number, .. }) => return failed_over(shared, number),
        Some(FaultKind::CutAfterMark) => return End::Cut,
        Some(FaultKind::TimeoutAfterMark) => return SqlRefusal::query_timeout(asker.limit).into(),
        Some(FaultKind::LeaderWaitTimeout) => return SqlRefusal::new(4652, "wait leader switch timeout").into(),
        _ => {}
    }
    if !waits {
        return DONE;
    }
    wait_leader_switch_out(shared, asker, targets).await
}

/// The root service moves and the statement ends with it.
fn failed_over(shared: &Shared, number: Option<u16>) -> End {
    shared.with(Core::fail_over);
    number.map_or(End::Cut, |number| SqlRefusal::new(number, root_service_text(number)).into())
}

fn root_service_text(number: u16) -> &'static str {
    match number {
        4638 => "RootServer is not master",
        4038 => "The replica is not master",
        4550 => "RootServer is shutdown",
        _ => "root service failed over",
    }
}

/// The precheck's loop has no end of its own: it ends when an inner read fails, this long before the statement's time is up,
/// and so a refusal for which it looks again is never heard, but 4012.
const BEFORE_THE_TIMEOUT: Micros = 500_000;

/// Phases A and B, in a task of their own: the root service does not know whether the session still lives.
fn at_root_service(
    shared: &Arc<Shared>,
    asker: &StatementContext,
    stop: Stop,
    delay_ms: u64,
) -> tokio::task::JoinHandle<Result<(), SqlRefusal>> {
    let shared = Arc::clone(shared);
    let StatementContext { session, deadline, limit, .. } = *asker;
    let stopped = shared.stop.clone();
    let job = async move {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        let root = shared.with(|core, _| core.cluster.root_service());
        loop {
            let verdict = shared.with(|core, now| {
                if core.cluster.root_service() != root || root.is_none() {
                    return Some(Err(SqlRefusal::new(4638, root_service_text(4638))));
                }
                let done = match &stop {
                    Stop::Servers { operation, addresses, zone } => {
                        rules::stop_precheck(&core.cluster, addresses, *operation, now)
                            .and_then(|_| core.mark(addresses, zone.as_deref(), *operation, Some(session), now))
                    }
                    Stop::Zone { force, name } => core.set_zone(name, false, *force, Some(session), now),
                };
                match done {
                    Ok(()) => Some(Ok(())),
                    Err(refusal) => {
                        let text = format!("{} {}", refusal.number, refusal.text);
                        let session = Some(session);
                        let happening = RecordEntry { server: None, session, kind: Kind::PrecheckRefused, text };
                        // the loop looks ten times a second: one line for each different refusal is enough
                        if core.record.last().is_none_or(|last| last.text != happening.text) {
                            core.record_entry(now, happening);
                        }
                        match refusal.retry {
                            false => Some(Err(refusal)),
                            true => {
                                (now >= deadline - BEFORE_THE_TIMEOUT).then(|| Err(SqlRefusal::query_timeout(limit)))
                            }
                        }
                    }
                }
            });
            if let Some(verdict) = verdict {
                return verdict;
            }
            precheck_pause(&shared).await;
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            biased;
            verdict = job => verdict,
            () = stopped.cancelled() => Err(SqlRefusal::new(4550, root_service_text(4550))),
        }
    })
}

/// The root service's precheck looks again after this.
async fn precheck_pause(shared: &Shared) {
    let pause = shared.lock().cluster.durations.precheck_interval;
    tokio::time::sleep(pause).await;
}

/// Phase C. The count is the kernel's: LEADER rows of CDB_OB_LS_LOCATIONS.
async fn wait_leader_switch_out(shared: &Shared, asker: &StatementContext, servers: &[i64]) -> End {
    let interval = time::micros(shared.lock().cluster.durations.leader_wait_interval);
    while shared.with(|core, _| core.cluster.leaders_on(servers)) > 0 {
        let next = shared.clock.now() + interval;
        if next >= asker.deadline {
            until(shared, asker.deadline).await;
            if shared.with(|core, _| core.cluster.leaders_on(servers)) > 0 {
                return SqlRefusal::new(4652, "wait leader switch timeout").into();
            }
            break;
        }
        until(shared, next).await;
    }
    wait_degradation(shared, servers).await
}

/// Two-replica tenants with arbitration: the stopped members must be degraded.
async fn wait_degradation(shared: &Shared, servers: &[i64]) -> End {
    let deadline = shared.with(|core, now| now + core.cluster.internal_timeout());
    loop {
        let waiting = shared.with(|core, _| {
            core.cluster.log_streams.iter().any(|ls| {
                ls.members.len() == 2
                    && core.cluster.arbitrates(ls.tenant)
                    && ls.members.iter().any(|member| servers.contains(member) && !ls.degraded.contains(member))
            })
        });
        if !waiting {
            return DONE;
        }
        if shared.clock.now() >= deadline {
            return SqlRefusal::new(4751, "wait arbitration service degradation timeout").into();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn minor_freeze(core: &mut Core, asker: &StatementContext, everywhere: bool, targets: &[i64], now: Micros) -> End {
    if !everywhere && targets.is_empty() {
        return SqlRefusal::new(4018, rules::ENTRY_NOT_EXIST).into();
    }
    let done = now + time::micros(core.cluster.durations.minor_freeze);
    for replica in core.cluster.log_streams.iter_mut().flat_map(|ls| &mut ls.replicas) {
        if everywhere || targets.contains(&replica.server) {
            replica.freeze = Some((done, now));
        }
    }
    let server = targets.first().copied();
    let text = if everywhere { "all servers".to_owned() } else { format!("servers {targets:?}") };
    core.record_entry(now, RecordEntry { server, session: Some(asker.session), kind: Kind::MinorFreeze, text });
    DONE
}

fn set_parameters(core: &mut Core, asker: &StatementContext, assignments: Vec<(String, String)>, now: Micros) -> End {
    if let Some((name, _)) = assignments.iter().find(|(name, _)| !core.cluster.parameters.contains_key(name)) {
        return SqlRefusal::new(5099, format!("Unknown system parameter: {name}")).into();
    }
    if let Some((name, _)) =
        assignments.iter().find(|(name, value)| name == "lease_time" && time::parse_duration(value).is_none())
    {
        return SqlRefusal::new(4002, format!("Incorrect arguments to {name}")).into();
    }
    for (name, value) in assignments {
        let text = format!("{name} = {value}");
        core.cluster.parameters.insert(name, value);
        let session = Some(asker.session);
        core.record_entry(now, RecordEntry { server: Some(asker.server), session, kind: Kind::ParameterSet, text });
    }
    DONE
}
