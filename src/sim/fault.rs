//! Faults on request: what they are, how they are written, when one applies. They decide nothing themselves.
//!
//! Written as JSON, e.g. `{"fault":"late_mark","delay_ms":2000}`; see [`HELP`]. Common to all: `server` (the server
//! concerned: its endpoint or the one a statement names), `statement` (a prefix, letter case and blanks do not
//! matter), `count` (how often; see [`FaultKind::default_count`]), `after` (armed only once the nth record of a kind
//! contains a text).

use serde::{Deserialize, Serialize};

use super::SimError;
use super::record::{Kind, Recorded};
use super::state::{Holds, StuckLeader, UnknownMember};

pub const HELP: &str = r#"faults, through any client: SIM FAULT '<json>', SIM FAULTS, SIM CLEAR [id], SIM RECORD
  statements   {"fault":"refused","statement":"ALTER SYSTEM STOP SERVER","number":4179,"text":"...","count":2}
               {"fault":"hang"}  {"fault":"slow","delay_ms":500}
  STOP SERVER  {"fault":"cut_before_mark"}  {"fault":"cut_after_mark"}  {"fault":"late_mark","delay_ms":2000}
               {"fault":"timeout_after_mark"}  {"fault":"leader_wait_timeout"}
               {"fault":"root_service_failover","number":4638,"marked":true}
               (without number the connection is cut, without marked there is no mark)
  leaders      {"fault":"leader_switch_stuck","server":1,"tenant":1002,"ls":1001}  (any of the three)
  replicas     {"fault":"replica_lagging","server":2,"lag_ms":60000}  {"fault":"checkpoint_stuck","server":1}
               {"fault":"arbitration_stuck"}  {"fault":"unknown_member","address":"10.9.9.9:2882","tenant":1002,"ls":1001}
  processes    {"fault":"ignore_sigterm","server":1}  {"fault":"exit_slowly","server":1,"delay_ms":3000}
               {"fault":"restart_after_exit","server":1,"delay_ms":500}
               {"fault":"dies_at_start","server":1}  {"fault":"starts_slowly","server":1,"delay_ms":3000}
  endpoints    {"fault":"refuse_connections","server":1}  {"fault":"login_refused"}  {"fault":"tenant_not_in_server"}
               {"fault":"wrong_identity","server":1,"cluster_name":"other","cluster_id":7}
               {"fault":"client_loss_unnoticed","server":1}
  third party  {"fault":"third_party","sql":"ALTER SYSTEM START SERVER '127.0.1.1:2882'"}
common fields  server, statement (prefix), count, after: {"kind":"answered","contains":"DBA_OB_SERVERS","nth":2,"server":1}
               (kind: statement, answered, mark_set, process_ended, leader_moved, ...; default answered)"#;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum FaultKind {
    /// Leaders do not move away from `server`, or those of `tenant` or `ls` do not.
    LeaderSwitchStuck {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ls: Option<i64>,
    },
    /// The log of `server`'s replicas stays this far behind.
    ReplicaLagging {
        lag_ms: i64,
    },
    /// Two-replica tenants are not degraded.
    ArbitrationStuck,
    /// A minor freeze never ends at `server`.
    CheckpointStuck,
    /// Member lists (of `tenant`, of `ls`) name an address that no server has.
    UnknownMember {
        address: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ls: Option<i64>,
    },
    /// STOP SERVER: the connection is cut, the root service never hears of it.
    CutBeforeMark,
    /// STOP SERVER: the connection is cut right after the mark.
    CutAfterMark,
    /// STOP SERVER: the connection is cut now, the root service marks `delay_ms` later all the same.
    LateMark {
        delay_ms: u64,
    },
    /// STOP SERVER: marked, then 4012 although leaders are there.
    TimeoutAfterMark,
    /// STOP SERVER: marked, then 4652 at once.
    LeaderWaitTimeout,
    /// The root service moves while the statement is with it; the statement ends with `number` or is cut.
    RootServiceFailover {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u16>,
        /// The mark was set before.
        #[serde(default)]
        marked: bool,
    },
    /// The statement is refused without effect.
    Refused {
        number: u16,
        text: String,
    },
    /// The statement does nothing until `ob_query_timeout`, then 4012.
    Hang,
    Slow {
        delay_ms: u64,
    },
    IgnoreSigterm,
    ExitSlowly {
        delay_ms: u64,
    },
    /// Somebody starts the process again this long after it ended.
    RestartAfterExit {
        delay_ms: u64,
    },
    /// The next process that is started writes why into its log and ends, before it listens.
    DiesAtStart,
    /// The next process that is started listens this late.
    StartsSlowly {
        delay_ms: u64,
    },
    /// A session whose client goes away while a statement runs lives on, as with a host that lost its network.
    ClientLossUnnoticed,
    /// Connections are closed without an answer.
    RefuseConnections,
    /// 1045.
    LoginRefused,
    /// 5150.
    TenantNotInServer,
    /// The endpoint says it belongs to another cluster.
    WrongIdentity {
        cluster_name: String,
        cluster_id: i64,
    },
    /// Somebody else runs this (START|STOP|FORCE STOP|ISOLATE SERVER, START|STOP ZONE).
    ThirdParty {
        sql: String,
    },
}

impl FaultKind {
    /// Faults that last have no count; those that happen do so once unless told otherwise.
    fn default_count(&self) -> Option<u32> {
        match self {
            Self::LeaderSwitchStuck { .. }
            | Self::ReplicaLagging { .. }
            | Self::ArbitrationStuck
            | Self::CheckpointStuck
            | Self::UnknownMember { .. }
            | Self::IgnoreSigterm
            | Self::ExitSlowly { .. }
            | Self::ClientLossUnnoticed
            | Self::RefuseConnections
            | Self::LoginRefused
            | Self::TenantNotInServer
            | Self::WrongIdentity { .. }
            | Self::Slow { .. } => None,
            _ => Some(1),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    #[serde(flatten)]
    pub kind: FaultKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
}

/// The fault is armed once the `nth` record like this has been written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    #[serde(default = "answered")]
    pub kind: Kind,
    #[serde(default)]
    pub contains: String,
    #[serde(default = "one")]
    pub nth: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<i64>,
}

fn answered() -> Kind {
    Kind::Answered
}

fn one() -> u32 {
    1
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, server: None, statement: None, count: None, after: None }
    }
}

impl Fault {
    pub fn on(kind: FaultKind, server: i64) -> Self {
        Self { server: Some(server), ..kind.into() }
    }

    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    pub fn for_statement(mut self, prefix: &str) -> Self {
        self.statement = Some(prefix.into());
        self
    }

    pub fn after(mut self, kind: Kind, contains: &str, nth: u32) -> Self {
        self.after = Some(After { kind, contains: contains.into(), nth, server: None });
        self
    }

    /// Reads the JSON that people write; a field that means nothing is an error, not a silence.
    pub fn parse(json: &str) -> Result<Self, SimError> {
        let wrong = |error: serde_json::Error| SimError::Fault(error.to_string());
        let value: serde_json::Value = serde_json::from_str(json).map_err(wrong)?;
        let fault: Self = serde_json::from_value(value.clone()).map_err(wrong)?;
        let known = serde_json::to_value(&fault).map_err(wrong)?;
        for (name, given) in value.as_object().into_iter().flatten() {
            if !given.is_null() && known.get(name).is_none() {
                return Err(SimError::Fault(format!("unknown field {name}")));
            }
        }
        Ok(fault)
    }
}

pub type FaultId = u64;

#[derive(Debug, Clone)]
pub struct ActiveFault {
    pub id: FaultId,
    pub fault: Fault,
    pub armed: bool,
    /// How often it may still happen.
    pub left: Option<u32>,
    seen: u32,
}

#[derive(Debug, Default)]
pub struct Faults {
    pub active: Vec<ActiveFault>,
    next: FaultId,
}

impl Faults {
    pub fn add(&mut self, fault: Fault) -> FaultId {
        self.next += 1;
        let left = fault.count.or(fault.kind.default_count());
        self.active.push(ActiveFault { id: self.next, armed: fault.after.is_none(), fault, left, seen: 0 });
        self.next
    }

    pub fn clear(&mut self, id: FaultId) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        before != self.active.len()
    }

    /// The first armed fault that `want` accepts and whose conditions hold; it has happened once more after this.
    pub fn take(&mut self, scope: &Scope<'_>, want: impl Fn(&FaultKind) -> bool) -> Option<FaultKind> {
        let index = self.active.iter().position(|active| {
            active.armed && active.left != Some(0) && want(&active.fault.kind) && scope.meets(&active.fault)
        })?;
        let active = &mut self.active[index];
        let kind = active.fault.kind.clone();
        if let Some(left) = &mut active.left {
            *left -= 1;
            if *left == 0 {
                self.active.remove(index);
            }
        }
        Some(kind)
    }

    /// Arms what waited for this record; true when anything changed.
    pub fn observe(&mut self, recorded: &Recorded) -> bool {
        let mut changed = false;
        for active in self.active.iter_mut().filter(|active| !active.armed) {
            let Some(after) = &active.fault.after else { continue };
            if after.kind == recorded.kind
                && after.server.is_none_or(|server| recorded.server == Some(server))
                && normal(&recorded.text).contains(&normal(&after.contains))
            {
                active.seen += 1;
                active.armed = active.seen >= after.nth;
                changed |= active.armed;
            }
        }
        changed
    }

    fn armed(&self) -> impl Iterator<Item = &Fault> {
        self.active.iter().filter(|active| active.armed).map(|active| &active.fault)
    }

    /// What the lasting faults hold back.
    pub fn holds(&self) -> Holds {
        let mut holds = Holds::default();
        for Fault { kind, server, .. } in self.armed() {
            match (kind, *server) {
                (FaultKind::LeaderSwitchStuck { tenant, ls }, server) => {
                    holds.stuck_leaders.push(StuckLeader { server, tenant: *tenant, ls: *ls });
                }
                (FaultKind::ReplicaLagging { lag_ms }, Some(server)) => holds.lagging.push((server, lag_ms * 1000)),
                (FaultKind::ArbitrationStuck, _) => holds.arbitration_stuck = true,
                (FaultKind::CheckpointStuck, Some(server)) => holds.checkpoint_stuck.push(server),
                (FaultKind::UnknownMember { address, tenant, ls }, _) => {
                    let (tenant, ls, address) = (*tenant, *ls, address.clone());
                    holds.unknown_members.push(UnknownMember { tenant, ls, address });
                }
                _ => {}
            }
        }
        holds
    }

    pub fn behaviour(&self, id: i64) -> Behaviour {
        let mut behaviour = Behaviour::default();
        for fault in self.armed().filter(|fault| fault.server.is_none_or(|server| server == id)) {
            match fault.kind {
                FaultKind::IgnoreSigterm => behaviour.ignore_sigterm = true,
                FaultKind::ClientLossUnnoticed => behaviour.client_loss_unnoticed = true,
                FaultKind::ExitSlowly { delay_ms } => behaviour.exit_after_ms = delay_ms,
                _ => {}
            }
        }
        behaviour
    }

    pub fn identity(&self, endpoint: i64) -> Option<(String, i64)> {
        self.armed().find_map(|fault| match &fault.kind {
            FaultKind::WrongIdentity { cluster_name, cluster_id }
                if fault.server.is_none_or(|server| server == endpoint) =>
            {
                Some((cluster_name.clone(), *cluster_id))
            }
            _ => None,
        })
    }
}

/// How the process treats SIGTERM and clients that go away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behaviour {
    pub ignore_sigterm: bool,
    pub exit_after_ms: u64,
    pub client_loss_unnoticed: bool,
}

/// What a fault's conditions are held against.
pub struct Scope<'a> {
    pub endpoint: i64,
    pub statement: &'a str,
    /// Servers that the statement names.
    pub targets: &'a [i64],
}

impl<'a> Scope<'a> {
    pub fn endpoint(endpoint: i64) -> Self {
        Self { endpoint, statement: "", targets: &[] }
    }

    fn meets(&self, fault: &Fault) -> bool {
        fault.server.is_none_or(|server| server == self.endpoint || self.targets.contains(&server))
            && fault.statement.as_ref().is_none_or(|prefix| normal(self.statement).starts_with(&normal(prefix)))
    }
}

/// Letter case and blanks do not count.
pub fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_people_write_them() {
        let fault = Fault::parse(r#"{"fault":"late_mark","delay_ms":200,"server":1,"count":2}"#).unwrap();
        assert_eq!(fault, Fault::on(FaultKind::LateMark { delay_ms: 200 }, 1).times(2));
        let after = Fault::parse(r#"{"fault":"hang","after":{"contains":"x"}}"#).unwrap().after.unwrap();
        assert_eq!((after.kind, after.nth), (Kind::Answered, 1));
        for wrong in [r#"{"fault":"hang","sever":1}"#, r#"{"fault":"nothing"}"#, r#"{"fault":"slow"}"#, "x"] {
            assert!(Fault::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fault_happens_as_often_as_it_says() {
        let mut faults = Faults::default();
        let kind = FaultKind::Refused { number: 4179, text: "no".into() };
        faults.add(Fault::on(kind, 1).times(2).for_statement("alter  system stop"));
        let mut take =
            |endpoint, statement| faults.take(&Scope { endpoint, statement, targets: &[] }, |_| true).is_some();
        assert!(!take(2, "ALTER SYSTEM STOP SERVER"));
        assert!(!take(1, "SELECT 1"));
        assert!(take(1, "ALTER SYSTEM STOP SERVER"));
        assert!(take(1, "alter system\n stop server"));
        assert!(!take(1, "ALTER SYSTEM STOP SERVER"));
    }
}
