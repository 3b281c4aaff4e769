//! What clients have on one server: their sessions, and the transactions that they opened there
//! (docs/oceanbase.md#gvob_processlist, docs/oceanbase.md#gvob_transaction_participants).

use super::error::ClusterError;
use super::facts::required_fact;
use super::row::TextRow;
use super::session::Session;
use super::views;
use crate::domain::clients::{ClientSession, ServerClients};
use crate::domain::ids::ServerAddr;
use crate::domain::reading::{Fact, TenantReading, TenantType, Unreadable};

/// Who has written, once for each log stream; followers show what they replay.
const PARTICIPANTS: &str = "SELECT DISTINCT TENANT_ID, TX_ID, STATE, SCHEDULER_ADDR \
    FROM oceanbase.GV$OB_TRANSACTION_PARTICIPANTS WHERE ROLE = 'LEADER'";

pub async fn read(session: &mut Session, addr: &ServerAddr) -> Result<Fact<ServerClients>, ClusterError> {
    // Only the rows of one server, as a cluster has many sessions.
    let here = format!("SVR_IP = '{}' AND SVR_PORT = {}", addr.ip(), addr.rpc_port());
    let sql = format!(
        "SELECT USER, HOST, TENANT, STATE, TRANS_ID, TRANS_STATE FROM oceanbase.GV$OB_PROCESSLIST WHERE {here}"
    );
    let sessions = required_fact(session.rows("GV$OB_PROCESSLIST", &sql).await)?;
    // A server that does not answer is missing without a word, and so is one whose address is written differently: no row
    // of it here either, and that it shows no session means nothing.
    let sql = format!("SELECT SVR_IP, SVR_PORT FROM oceanbase.GV$OB_SERVERS WHERE {here}");
    let answers = required_fact(session.rows("GV$OB_SERVERS", &sql).await)?;
    let written = required_fact(session.rows("GV$OB_TRANSACTION_PARTICIPANTS", PARTICIPANTS).await)?;
    let tenants = views::tenants(session).await?;
    let user = session.user();
    let found = || {
        if answers?.is_empty() {
            return Err(silent(addr));
        }
        let sessions: Vec<ClientSession> =
            sessions?.iter().filter_map(|row| client(row, user).transpose()).collect::<Fact<_>>()?;
        let written = written?;
        let written = written.iter().filter_map(|row| open(row, addr, &tenants).transpose());
        Ok(ServerClients::of(&sessions, written.collect::<Fact<Vec<_>>>()?))
    };
    Ok(found())
}

/// Why the clients of a server that is missing in `GV$` views are not known.
pub fn silent(addr: &ServerAddr) -> Unreadable {
    Unreadable::new(format!("{addr} does not answer the views, which then show none of its sessions"))
}

/// `None`: it is no client's.
fn client(row: &TextRow, own_user: &str) -> Fact<Option<ClientSession>> {
    let user = row.optional("USER")?.unwrap_or_default();
    let tenant = row.text("TENANT")?;
    // Part of a statement that another server runs, or the kernel's own.
    let has_client = !user.is_empty() && !row.text("HOST")?.ends_with(":0");
    let is_own = tenant.eq_ignore_ascii_case("sys") && user == own_user;
    if !has_client || is_own {
        return Ok(None);
    }
    let in_transaction = row.optional("TRANS_STATE")?.is_some_and(|state| !state.trim().is_empty());
    Ok(Some(ClientSession {
        tenant: tenant.to_owned(),
        active: row.text_or_empty("STATE").eq_ignore_ascii_case("ACTIVE"),
        transaction: if in_transaction { Some(row.parse("TRANS_ID")?) } else { None },
    }))
}

/// `None`: another server's, decided, or the kernel's own.
fn open(row: &TextRow, addr: &ServerAddr, tenants: &[TenantReading]) -> Fact<Option<(String, i64)>> {
    // The kernel writes it with quotation marks around it.
    let begun_at = row.text("SCHEDULER_ADDR")?.trim_matches('"').parse::<ServerAddr>();
    let state = row.text("STATE")?.to_ascii_uppercase();
    if begun_at.is_ok_and(|begun_at| begun_at != *addr) || matches!(state.as_str(), "COMMIT" | "ABORT" | "CLEAR") {
        return Ok(None);
    }
    let tenant_id: i64 = row.parse("TENANT_ID")?;
    let user_tenant = |tenant: &&TenantReading| tenant.id == tenant_id && tenant.tenant_type == Ok(TenantType::User);
    match tenants.iter().find(user_tenant) {
        Some(tenant) => Ok(Some((tenant.name.clone(), row.parse("TX_ID")?))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sessions_of_clients_count() {
        let row = |user, host, tenant, state, transaction| {
            TextRow::of(&[
                ("USER", user),
                ("HOST", Some(host)),
                ("TENANT", Some(tenant)),
                ("STATE", Some(state)),
                ("TRANS_ID", Some("17")),
                ("TRANS_STATE", transaction),
            ])
        };
        let read = |row| client(&row, "root").unwrap();
        assert_eq!(read(row(Some("root"), "10.0.0.9:4711", "sys", "SLEEP", Some(""))), None, "the service's own");
        assert_eq!(read(row(None, "10.0.0.3:2882", "app", "ACTIVE", Some("ACTIVE"))), None, "of another server");
        assert_eq!(read(row(Some("root"), "0.0.0.0:0", "app", "ACTIVE", Some(""))), None, "the kernel's");
        let session =
            |tenant: &str, active, transaction| Some(ClientSession { tenant: tenant.to_owned(), active, transaction });
        assert_eq!(
            read(row(Some("root"), "10.0.0.9:4711", "app", "SLEEP", Some("IMPLICIT_ACTIVE"))),
            session("app", false, Some(17))
        );
        assert_eq!(read(row(Some("dba"), "10.0.0.9:4711", "sys", "ACTIVE", None)), session("sys", true, None));
    }

    #[test]
    fn only_undecided_transactions_that_were_begun_there_count() {
        let addr: ServerAddr = "10.0.0.2:2882".parse().unwrap();
        let row = |scheduler, state| {
            TextRow::of(&[
                ("TENANT_ID", Some("1002")),
                ("TX_ID", Some("17")),
                ("STATE", Some(state)),
                ("SCHEDULER_ADDR", Some(scheduler)),
            ])
        };
        let mut tenant = crate::domain::reading::sample::tenant(1002, 3);
        let read = |row, tenant: &TenantReading| open(&row, &addr, std::slice::from_ref(tenant)).unwrap();
        let found = Some((tenant.name.clone(), 17));
        assert_eq!(read(row("\"10.0.0.2:2882\"", "ACTIVE"), &tenant), found);
        assert_eq!(read(row("10.0.0.2:2882", "PREPARE"), &tenant), found);
        assert_eq!(read(row("somewhere", "ACTIVE"), &tenant), found, "an odd address is not dropped");
        assert_eq!(read(row("\"10.0.0.3:2882\"", "ACTIVE"), &tenant), None);
        assert_eq!(read(row("\"10.0.0.2:2882\"", "COMMIT"), &tenant), None);
        tenant.tenant_type = Ok(TenantType::Meta);
        assert_eq!(read(row("\"10.0.0.2:2882\"", "ACTIVE"), &tenant), None);
    }
}
