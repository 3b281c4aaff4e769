//! Runs one statement of one session, from the faults that meet it to its answer. STOP and START stand in `alter`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::alter;
use super::answer::{Answer, Column, ColumnKind};
use super::core::{Core, Shared};
use super::errors::SqlRefusal;
use super::fault::{Fault, FaultKind, Scope};
use super::query::{SessionContext, materialise, select};
use super::record::{Kind, RecordEntry};
use super::rewrite::rewrite;
use super::sessions::Session;
use super::show::{Shown, show};
use super::statement::{Command, parse};
use super::time::{self, Micros};
use super::views::{SessionRow, Source, VIEWS};

/// How a statement ends: with an answer, or with its connection.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Answer(Answer),
    Cut,
}

impl From<SqlRefusal> for End {
    fn from(refusal: SqlRefusal) -> Self {
        Self::Answer(refusal.answer())
    }
}

pub const DONE: End = End::Answer(Answer::Done { affected: 0 });

/// Who asks, and until when.
#[derive(Clone)]
pub struct StatementContext {
    pub session: u64,
    pub server: i64,
    pub text: String,
    pub deadline: Micros,
    /// The session's `ob_query_timeout`.
    pub limit: Micros,
}

/// None: nobody waits for the answer any more.
pub async fn execute(shared: Arc<Shared>, session: u64, text: String) -> Option<End> {
    let cancel = CancellationToken::new();
    let asker = shared.with(|core, now| {
        let session = core.sessions.get_mut(&session)?;
        session.running = Some((text.clone(), cancel.clone()));
        session.since = now;
        let limit = session.variables.get("ob_query_timeout").and_then(|value| value.parse().ok());
        let limit = limit.unwrap_or(10_000_000);
        let asker =
            StatementContext { session: session.id, server: session.server, text, deadline: now + limit, limit };
        core.record_entry(now, asker.happening(Kind::Statement));
        Some(asker)
    })?;
    let end = tokio::select! {
        biased;
        () = cancel.cancelled() => SqlRefusal::interrupted().into(),
        end = run(&shared, &asker) => end,
    };
    shared.with(|core, now| {
        let session = core.sessions.get_mut(&asker.session)?;
        session.running = None;
        session.since = now;
        let kind = if matches!(end, End::Cut) { Kind::ConnectionCut } else { Kind::Answered };
        core.record_entry(now, asker.happening(kind));
        Some(end)
    })
}

impl StatementContext {
    fn happening(&self, kind: Kind) -> RecordEntry {
        RecordEntry { server: Some(self.server), session: Some(self.session), kind, text: self.text.clone() }
    }
}

async fn run(shared: &Arc<Shared>, asker: &StatementContext) -> End {
    let command = match parse(&asker.text) {
        Ok(command) => command,
        Err(refusal) => return refusal.into(),
    };
    let targets = shared.with(|core, _| alter::targets(core, &command));
    let scope = Scope { endpoint: asker.server, statement: &asker.text, targets: &targets };
    let sim = matches!(command, Command::SimFault(_) | Command::SimClear(_) | Command::SimFaults | Command::SimRecord);
    if !sim {
        match shared.with(|core, now| core.statement_fault(&scope, now)) {
            Some(FaultKind::Refused { number, text }) => return SqlRefusal::new(number, text).into(),
            Some(FaultKind::Hang) => {
                until(shared, asker.deadline).await;
                return SqlRefusal::query_timeout(asker.limit).into();
            }
            Some(FaultKind::Slow { delay_ms }) => {
                let slow = shared.clock.now() + time::micros(Duration::from_millis(delay_ms));
                until(shared, slow.min(asker.deadline)).await;
                if slow >= asker.deadline {
                    return SqlRefusal::query_timeout(asker.limit).into();
                }
            }
            _ => {}
        }
    }
    match command {
        Command::Select(lexemes) => query(shared, asker, &rewrite(&lexemes)).await,
        Command::Show(lexemes) => {
            let variables = shared.with(|core, _| core.sessions.get(&asker.session).map(Session::all_variables));
            match show(&lexemes, &variables.unwrap_or_default()) {
                Ok(Shown::Select(sql)) => query(shared, asker, &sql).await,
                Ok(Shown::Answer(answer)) => End::Answer(answer),
                Err(refusal) => refusal.into(),
            }
        }
        Command::SetVariables(assignments) => shared.with(|core, _| {
            if let Some(session) = core.sessions.get_mut(&asker.session) {
                session.variables.extend(assignments);
            }
            DONE
        }),
        Command::Use(name) => shared.with(|core, _| use_database(core, asker.session, name)),
        Command::Kill { query, session } => shared.with(|core, now| kill(core, asker, query, session, now)),
        Command::SimFault(json) => match Fault::parse(&json) {
            Ok(fault) => {
                let id = shared.with(|core, now| core.inject(fault, now));
                End::Answer(super::show::rows_of(&["fault"], vec![vec![Some(id.to_string())]]))
            }
            Err(error) => SqlRefusal::new(4002, error.to_string()).into(),
        },
        Command::SimClear(id) => shared.with(|core, now| {
            core.clear(id, now);
            DONE
        }),
        Command::SimFaults => End::Answer(shared.with(|core, _| faults(core))),
        Command::SimRecord => End::Answer(shared.with(|core, _| record(core))),
        Command::Begin => shared.with(|core, now| {
            core.begin(asker.session, now);
            DONE
        }),
        Command::EndTransaction => shared.with(|core, _| {
            if let Some(session) = core.sessions.get_mut(&asker.session) {
                session.transaction = None;
            }
            DONE
        }),
        Command::Write => shared.with(|core, _| {
            if let Some(open) = core.sessions.get_mut(&asker.session).and_then(|session| session.transaction.as_mut()) {
                open.wrote = true;
            }
            DONE
        }),
        Command::StopServers { .. } | Command::StartServers { .. } | Command::Zone { .. }
            if !shared.with(|core, _| is_of_sys(core, asker.session)) =>
        {
            SqlRefusal::new(5036, "Only sys tenant can do this operation").into()
        }
        command => alter::alter(shared, asker, &targets, command).await,
    }
}

pub async fn until(shared: &Shared, at: Micros) {
    tokio::time::sleep(time::duration(at - shared.clock.now())).await;
}

async fn query(shared: &Arc<Shared>, asker: &StatementContext, sql: &str) -> End {
    let lowercase = sql.to_lowercase();
    let stored = VIEWS.iter().any(|view| view.stored && view.named_in(&lowercase));
    loop {
        // the sys tenant's tables cannot be read while nobody leads it
        let readable = shared.with(|core, now| {
            (!stored || core.cluster.root_service().is_some()).then(|| {
                let session = core.sessions.get(&asker.session);
                let surroundings = session.map(|session| surroundings(core, session, now)).unwrap_or_default();
                let identity = core.faults.identity(asker.server);
                let source = Source {
                    cluster: &core.cluster,
                    now,
                    sessions: session_rows(core),
                    server: asker.server,
                    identity: identity.unwrap_or_else(|| (core.cluster.name.clone(), core.cluster.id)),
                };
                // the views of the cluster are the sys tenant's
                let sql = if is_of_sys(core, asker.session) { sql } else { "" };
                (materialise(&source, sql, surroundings.time_zone), surroundings)
            })
        });
        if let Some((tables, surroundings)) = readable {
            return End::Answer(select(tables, sql, surroundings));
        }
        if shared.clock.now() >= asker.deadline {
            return SqlRefusal::query_timeout(asker.limit).into();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_of_sys(core: &Core, session: u64) -> bool {
    core.sessions.get(&session).is_some_and(Session::is_of_sys)
}

fn surroundings(core: &Core, session: &Session, now: Micros) -> SessionContext {
    let server = core.cluster.server(session.server);
    SessionContext {
        host_ip: server.map(|server| server.ip.clone()).unwrap_or_default(),
        rpc_port: server.map(|server| server.rpc_port).unwrap_or_default(),
        session: session.id,
        user: session.user.clone(),
        database: session.database.clone(),
        time_zone: session.variables.get("time_zone").map_or(0, |text| time_zone(text)),
        variables: session.all_variables(),
        now,
    }
}

/// `+08:00` in seconds; names are not known here.
fn time_zone(text: &str) -> i64 {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.trim_start_matches(['+', '-']).split_once(':').unwrap_or(("0", "0"));
    sign * (hours.parse::<i64>().unwrap_or(0) * 3600 + minutes.parse::<i64>().unwrap_or(0) * 60)
}

fn session_rows(core: &Core) -> Vec<SessionRow> {
    let row = |session: &Session| SessionRow {
        id: session.id,
        server: session.server,
        user: session.login().0.to_owned(),
        tenant: session.login().1.to_owned(),
        peer: session.peer.clone(),
        database: session.database.clone(),
        transaction: session.transaction,
        info: session.running.as_ref().map(|(text, _)| text.clone()),
        since: session.since,
    };
    core.sessions.values().map(row).collect()
}

fn use_database(core: &mut Core, session: u64, name: String) -> End {
    if !["oceanbase", "information_schema", "mysql", "test"].contains(&name.to_lowercase().as_str()) {
        return SqlRefusal::new(1049, format!("Unknown database '{name}'")).into();
    }
    if let Some(session) = core.sessions.get_mut(&session) {
        session.database = Some(name);
    }
    DONE
}

/// Ends the session's statement or the session; what the root service has been handed goes on there. A server knows
/// its own sessions only.
fn kill(core: &mut Core, asker: &StatementContext, query: bool, target: u64, now: Micros) -> End {
    let Some(session) = core.sessions.get(&target).filter(|session| session.server == asker.server) else {
        return SqlRefusal::new(1094, format!("Unknown thread id: {target}")).into();
    };
    let server = session.server;
    let text = format!("{} by session {}", if query { "query" } else { "connection" }, asker.session);
    if query {
        session.interrupt();
    }
    let happening = RecordEntry { server: Some(server), session: Some(target), kind: Kind::SessionKilled, text };
    core.record_entry(now, happening);
    if !query {
        core.cut(target, now);
    }
    DONE
}

fn faults(core: &Core) -> Answer {
    let row = |active: &super::fault::ActiveFault| {
        vec![
            Some(active.id.to_string()),
            Some(if active.armed { "armed" } else { "waiting" }.to_owned()),
            active.left.map(|left| left.to_string()),
            serde_json::to_string(&active.fault).ok(),
        ]
    };
    super::show::rows_of(&["id", "state", "times_left", "fault"], core.faults.active.iter().map(row).collect())
}

fn record(core: &Core) -> Answer {
    let names = [
        ("sequence", ColumnKind::Integer),
        ("at", ColumnKind::Datetime),
        ("server", ColumnKind::Integer),
        ("session", ColumnKind::Integer),
        ("kind", ColumnKind::Text),
        ("text", ColumnKind::Text),
    ];
    let columns = names.into_iter().map(|(name, kind)| Column { name: name.into(), kind }).collect();
    let row = |recorded: &super::record::Recorded| {
        vec![
            Some(recorded.sequence.to_string()),
            Some(time::format(recorded.at, 0)),
            recorded.server.map(|id| id.to_string()),
            recorded.session.map(|id| id.to_string()),
            Some(recorded.kind.name()),
            Some(recorded.text.clone()),
        ]
    };
    Answer::Rows { columns, rows: core.record.iter().map(row).collect() }
}
