//! The log streams as the root service itself reads them, and their leaders.

use super::error::ClusterError;
use super::facts::required_fact;
use super::row::TextRow;
use super::session::Session;
use crate::domain::freeze::{Position, Replica};
use crate::domain::ids::ServerAddr;
use crate::domain::precheck::LedFrom;
use crate::domain::reading::member_list;
use crate::domain::reading::{Fact, LogReplica, LogStreamReading, Role, Unreadable};

/// The statement of the root service's precheck (docs/oceanbase.md#stop-server-majority-check), as one SELECT: one
/// moment for all.
const JOINED: &str = "SELECT a.tenant_id AS tenant_id, a.ls_id AS ls_id, b.svr_ip AS svr_ip, b.svr_port AS svr_port, \
    b.role AS role, b.proposal_id AS proposal_id, b.paxos_member_list AS paxos_member_list, \
    b.paxos_replica_num AS paxos_replica_num, b.end_scn AS end_scn \
    FROM oceanbase.__all_virtual_ls_status a LEFT JOIN oceanbase.__all_virtual_log_stat b \
    ON a.tenant_id = b.tenant_id AND a.ls_id = b.ls_id \
    WHERE a.status <> 'CREATE_ABORT' ORDER BY a.tenant_id, a.ls_id";

pub async fn read(session: &mut Session) -> Result<Vec<LogStreamReading>, ClusterError> {
    let mut log_streams = joined(session).await?;
    let leaders = "SELECT * FROM oceanbase.GV$OB_LOG_STAT WHERE ROLE = 'LEADER'";
    let leaders = required_fact(session.rows("GV$OB_LOG_STAT", leaders).await)?;
    for log_stream in &mut log_streams {
        arbitration(log_stream, &leaders);
    }
    Ok(log_streams)
}

/// The same without what their leaders report of the arbitration service.
pub async fn joined(session: &mut Session) -> Result<Vec<LogStreamReading>, ClusterError> {
    Ok(group(&session.rows("the log streams", JOINED).await?)?)
}

/// Rows of one log stream stand together.
fn group(rows: &[TextRow]) -> Fact<Vec<LogStreamReading>> {
    let mut log_streams: Vec<LogStreamReading> = Vec::new();
    for row in rows {
        let (tenant_id, ls_id) = (row.parse("tenant_id")?, row.parse("ls_id")?);
        let same = |log_stream: &LogStreamReading| log_stream.tenant_id == tenant_id && log_stream.ls_id == ls_id;
        if !log_streams.last().is_some_and(same) {
            log_streams.push(LogStreamReading {
                tenant_id,
                ls_id,
                replicas: vec![],
                unreadable: vec![],
                degraded_list: Ok(vec![]),
                arbitration_member: Ok(None),
            });
        }
        let Some(log_stream) = log_streams.last_mut() else { continue };
        let joined_nothing = matches!((row.optional("svr_ip")?, row.optional("svr_port")?), (None, None));
        match row.addr() {
            Ok(addr) => log_stream.replicas.push(replica(row, addr)),
            // The left join found no replica: the log stream stays without one.
            Err(_) if joined_nothing => {}
            Err(why) => log_stream.unreadable.push(why),
        }
    }
    Ok(log_streams)
}

fn replica(row: &TextRow, addr: ServerAddr) -> LogReplica {
    LogReplica {
        addr,
        role: row.text("role").and_then(role),
        proposal_id: row.parse("proposal_id"),
        member_list: row.text("paxos_member_list").and_then(member_list::parse),
        paxos_replica_number: row.parse("paxos_replica_num"),
        end_scn: row.parse("end_scn"),
    }
}

fn role(word: &str) -> Fact<Role> {
    match word.to_ascii_uppercase().as_str() {
        "LEADER" => Ok(Role::Leader),
        "FOLLOWER" => Ok(Role::Follower),
        _ => Err(Unreadable::new(format!("role is {word:?}"))),
    }
}

/// `DEGRADED_LIST` and `ARBITRATION_MEMBER` as the log stream's leader says. NULL is empty: a list without the target and an
/// absent arbiter both refuse.
fn arbitration(log_stream: &mut LogStreamReading, leaders: &Fact<Vec<TextRow>>) {
    let leader = log_stream.leader().map(|leader| leader.addr);
    let is_leader = |row: &&TextRow| {
        row.parse("TENANT_ID") == Ok(log_stream.tenant_id)
            && row.parse("LS_ID") == Ok(log_stream.ls_id)
            && row.addr().ok() == leader
    };
    let row = match leaders {
        Ok(rows) => {
            rows.iter().find(is_leader).ok_or_else(|| Unreadable::new("GV$OB_LOG_STAT does not show its leader"))
        }
        Err(why) => Err(why.clone()),
    };
    let column = |name| row.clone().and_then(|row| row.optional(name));
    let degraded = column("DEGRADED_LIST").and_then(|text| member_list::parse(text.unwrap_or_default()));
    let member =
        column("ARBITRATION_MEMBER").map(|text| text.filter(|text| !text.trim().is_empty()).map(ToOwned::to_owned));
    log_stream.degraded_list = degraded;
    log_stream.arbitration_member = member;
}

/// The LEADER rows of these servers in a view. Rows are matched here, by parsed address, because an address that is
/// written differently would count as no leader; a view without any leader is not believed.
pub async fn leaders_in(
    session: &mut Session,
    view: &'static str,
    addrs: &[ServerAddr],
) -> Result<Vec<LedFrom>, ClusterError> {
    let sql = format!("SELECT TENANT_ID, LS_ID, SVR_IP, SVR_PORT FROM oceanbase.{view} WHERE ROLE = 'LEADER'");
    let rows = session.rows(view, &sql).await?;
    if rows.is_empty() {
        return Err(no_leaders(view));
    }
    let mut led = Vec::new();
    for row in &rows {
        let addr = row.addr()?;
        if addrs.contains(&addr) {
            led.push(LedFrom { tenant_id: row.parse("TENANT_ID")?, ls_id: row.parse("LS_ID")?, addr });
        }
    }
    led.sort_unstable();
    Ok(led)
}

/// The error of a view without any leader.
pub fn no_leaders(view: &str) -> ClusterError {
    ClusterError::unreadable(format!("{view} shows no leader in the whole cluster: look at it"))
}

/// Every log stream of a server with its checkpoint. Which ones there are is asked of the locations, which are stored: a server
/// that does not answer is missing in `__all_virtual_ls_info`, and must not look as if nothing was left to wait for.
pub async fn checkpoints(session: &mut Session, addr: &ServerAddr) -> Result<Vec<Replica>, ClusterError> {
    let sql = "SELECT TENANT_ID, LS_ID, SVR_IP, SVR_PORT FROM oceanbase.CDB_OB_LS_LOCATIONS";
    let located = session.rows("CDB_OB_LS_LOCATIONS", sql).await?;
    if located.is_empty() {
        let message = "CDB_OB_LS_LOCATIONS shows no log stream in the whole cluster: look at it";
        return Err(ClusterError::unreadable(message));
    }
    let sql = "SELECT tenant_id, ls_id, svr_ip, svr_port, checkpoint_scn, weak_read_scn \
        FROM oceanbase.__all_virtual_ls_info";
    let told = session.rows("__all_virtual_ls_info", sql).await?;
    Ok(positions(&located, &told, addr)?)
}

fn positions(located: &[TextRow], told: &[TextRow], addr: &ServerAddr) -> Fact<Vec<Replica>> {
    let mut replicas: Vec<Replica> = Vec::new();
    for row in located {
        if row.addr()? == *addr {
            let (tenant_id, ls_id) = (row.parse("TENANT_ID")?, row.parse("LS_ID")?);
            let position = Err(Unreadable::new("__all_virtual_ls_info does not show it"));
            replicas.push(Replica { tenant_id, ls_id, position });
        }
    }
    for row in told {
        if row.addr()? != *addr {
            continue;
        }
        let (tenant_id, ls_id) = (row.parse("tenant_id")?, row.parse("ls_id")?);
        let position = row.parse("checkpoint_scn").and_then(|checkpoint_scn| {
            let applied_scn = row.parse("weak_read_scn")?;
            Ok(Position { checkpoint_scn, applied_scn })
        });
        match replicas.iter_mut().find(|replica| replica.tenant_id == tenant_id && replica.ls_id == ls_id) {
            Some(replica) => replica.position = position,
            None => replicas.push(Replica { tenant_id, ls_id, position }),
        }
    }
    Ok(replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ls: &'static str, ip: Option<&'static str>, role: &'static str) -> TextRow {
        TextRow::of(&[
            ("tenant_id", Some("1001")),
            ("ls_id", Some(ls)),
            ("svr_ip", ip),
            ("svr_port", ip.map(|_| "2882")),
            ("role", Some(role)),
            ("proposal_id", Some("3")),
            ("paxos_member_list", Some("10.0.0.1:2882:1,10.0.0.2:2882:1")),
            ("paxos_replica_num", Some("2")),
            ("end_scn", Some("18446744073709551615")),
        ])
    }

    #[test]
    fn rows_become_log_streams() {
        let rows =
            [row("1", Some("10.0.0.1"), "LEADER"), row("1", Some("10.0.0.2"), "??"), row("1001", None, "LEADER")];
        let mut log_streams = group(&rows).unwrap();
        assert_eq!(log_streams.len(), 2);
        assert_eq!(log_streams[0].replicas[0].end_scn, Ok(u64::MAX));
        assert!(log_streams[0].replicas[1].role.is_err());
        assert!(log_streams[1].replicas.is_empty() && log_streams[1].unreadable.is_empty());
        let leader = TextRow::of(&[
            ("TENANT_ID", Some("1001")),
            ("LS_ID", Some("1")),
            ("SVR_IP", Some("10.0.0.1")),
            ("SVR_PORT", Some("2882")),
            ("DEGRADED_LIST", Some("10.0.0.2:2882:1")),
            ("ARBITRATION_MEMBER", None),
        ]);
        arbitration(&mut log_streams[0], &Ok(vec![leader]));
        assert_eq!(log_streams[0].degraded_list.as_ref().unwrap().len(), 1);
        assert_eq!(log_streams[0].arbitration_member, Ok(None));
        arbitration(&mut log_streams[0], &Ok(vec![]));
        assert!(log_streams[0].degraded_list.is_err() && log_streams[0].arbitration_member.is_err());
    }

    #[test]
    fn an_odd_address_is_not_dropped() {
        let log_streams = group(&[row("1", Some("nowhere"), "LEADER")]).unwrap();
        assert_eq!(log_streams[0].unreadable.len(), 1);
    }
    #[test]
    fn a_log_stream_that_is_not_shown_is_not_forgotten() {
        let at = |ip, ls| {
            [("tenant_id", Some("1002")), ("ls_id", Some(ls)), ("svr_ip", Some(ip)), ("svr_port", Some("2882"))]
        };
        let located =
            [("10.0.0.1", "1"), ("10.0.0.1", "1001"), ("10.0.0.2", "1")].map(|(ip, ls)| TextRow::of(&at(ip, ls)));
        let scns = [("checkpoint_scn", Some("7")), ("weak_read_scn", Some("9"))];
        let told = [("10.0.0.1", "1"), ("10.0.0.1", "1003"), ("10.0.0.2", "1")]
            .map(|(ip, ls)| TextRow::of(&[&at(ip, ls)[..], &scns[..]].concat()));
        let found = positions(&located, &told, &"10.0.0.1:2882".parse().unwrap()).unwrap();
        let shown: Vec<(i64, bool)> = found.iter().map(|replica| (replica.ls_id, replica.position.is_ok())).collect();
        assert_eq!(shown, [(1, true), (1001, false), (1003, true)]);
        assert_eq!(found[0].position, Ok(Position { checkpoint_scn: 7, applied_scn: 9 }));
        let without = TextRow::of(&[&at("10.0.0.1", "1")[..], &scns[..1]].concat());
        let found = positions(&located, &[without], &"10.0.0.1:2882".parse().unwrap()).unwrap();
        assert!(found.iter().all(|replica| replica.position.is_err()), "{found:?}");
    }
}
