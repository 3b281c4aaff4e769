//! Servers, zones, tenants and parameters: the views on which everything stands. A row that is not understood is an error.

use std::time::Duration;

use super::error::ClusterError;
use super::row::TextRow;
use super::session::Session;
use crate::domain::ids::{InvalidName, ZoneName};
use crate::domain::reading::locality::paxos_replica_number;
use crate::domain::reading::{Fact, Parameters, ServerReading, TenantReading, TenantType, Unreadable, ZoneReading};

/// `DBA_OB_SERVERS`, sorted by address.
pub async fn servers(session: &mut Session) -> Result<Vec<ServerReading>, ClusterError> {
    let rows = session.rows("DBA_OB_SERVERS", "SELECT * FROM oceanbase.DBA_OB_SERVERS").await?;
    let mut servers = rows.iter().map(server).collect::<Fact<Vec<_>>>()?;
    if servers.is_empty() {
        return Err(ClusterError::unreadable("DBA_OB_SERVERS is empty: log in to the sys tenant"));
    }
    servers.sort_by_key(|server| server.addr);
    Ok(servers)
}

fn server(row: &TextRow) -> Fact<ServerReading> {
    let with_rootserver = row.text("WITH_ROOTSERVER")?;
    Ok(ServerReading {
        addr: row.addr()?,
        ob_server_id: row.parse("ID")?,
        zone: zone_name(row)?,
        sql_port: row.parse("SQL_PORT")?,
        with_rootserver: with_rootserver.eq_ignore_ascii_case("YES") || with_rootserver == "1",
        status: row.parse("STATUS")?,
        start_service_time: row.moment("START_SERVICE_TIME")?,
        stop_time: row.moment("STOP_TIME")?,
        // Since 4.2.
        last_offline_time: row.moment_if_there("LAST_OFFLINE_TIME")?,
        create_time: row.moment_if_there("CREATE_TIME")?,
        build_version: row.text_or_empty("BUILD_VERSION"),
    })
}

fn zone_name(row: &TextRow) -> Fact<ZoneName> {
    row.text("ZONE")?.parse().map_err(|why: InvalidName| Unreadable::new(why.to_string()))
}

/// `DBA_OB_ZONES`, sorted by name.
pub async fn zones(session: &mut Session) -> Result<Vec<ZoneReading>, ClusterError> {
    let rows = session.rows("DBA_OB_ZONES", "SELECT * FROM oceanbase.DBA_OB_ZONES").await?;
    let zone = |row: &TextRow| {
        Ok(ZoneReading {
            name: zone_name(row)?,
            status: row.parse("STATUS")?,
            region: row.text_or_empty("REGION"),
            idc: row.text_or_empty("IDC"),
            zone_type: row.text_or_empty("TYPE"),
        })
    };
    let mut zones = rows.iter().map(zone).collect::<Fact<Vec<_>>>()?;
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(zones)
}

/// `DBA_OB_TENANTS`, sorted by id; META tenants follow their user tenant.
pub async fn tenants(session: &mut Session) -> Result<Vec<TenantReading>, ClusterError> {
    let rows = session.rows("DBA_OB_TENANTS", "SELECT * FROM oceanbase.DBA_OB_TENANTS").await?;
    let mut tenants = rows.iter().map(tenant).collect::<Fact<Vec<_>>>()?;
    tenants.sort_by_key(|tenant| tenant.id);
    Ok(metas_follow(tenants))
}

fn tenant(row: &TextRow) -> Fact<TenantReading> {
    let locality = row.text_or_empty("LOCALITY");
    Ok(TenantReading {
        id: row.parse("TENANT_ID")?,
        name: row.text_or_empty("TENANT_NAME"),
        tenant_type: row.text("TENANT_TYPE").and_then(tenant_type),
        paxos_replica_number: paxos_replica_number(&locality),
        locality,
        // NULL unless the locality changes; some versions write an empty text.
        previous_locality: row
            .optional("PREVIOUS_LOCALITY")
            .map(|text| text.filter(|text| !text.trim().is_empty()).map(ToOwned::to_owned)),
        status: row.text_or_empty("STATUS"),
        role: row.text("TENANT_ROLE").map(ToOwned::to_owned),
        arbitration: row.text("ARBITRATION_SERVICE_STATUS").map(ToOwned::to_owned),
    })
}

fn tenant_type(word: &str) -> Fact<TenantType> {
    match word.to_ascii_uppercase().as_str() {
        "SYS" => Ok(TenantType::Sys),
        "META" => Ok(TenantType::Meta),
        "USER" => Ok(TenantType::User),
        _ => Err(Unreadable::new(format!("TENANT_TYPE is {word:?}"))),
    }
}

/// A META tenant has the locality of its user tenant (id + 1) where it shows none of its own, and changes with it.
pub fn metas_follow(mut tenants: Vec<TenantReading>) -> Vec<TenantReading> {
    let users: Vec<TenantReading> =
        tenants.iter().filter(|tenant| tenant.tenant_type == Ok(TenantType::User)).cloned().collect();
    for meta in tenants.iter_mut().filter(|tenant| tenant.tenant_type == Ok(TenantType::Meta)) {
        let Some(user) = users.iter().find(|user| user.id == meta.id + 1) else { continue };
        if meta.locality.trim().is_empty() {
            meta.locality = user.locality.clone();
            meta.paxos_replica_number = user.paxos_replica_number.clone();
        }
        if meta.previous_locality == Ok(None) {
            meta.previous_locality = user.previous_locality.clone();
        }
    }
    tenants
}

/// Which servers' parameters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of the server that the session is logged in to: enough for what is only shown.
    OneServer,
    /// Those of every server, at the price of asking each: for what refuses a stop or bounds an effect, where the
    /// longest time counts and one server in upgrade mode is enough.
    AllServers,
}

/// The parameters that the rules need.
pub async fn parameters(session: &mut Session, whose: Whose) -> Result<Parameters, ClusterError> {
    let names = ["lease_time", "server_permanent_offline_time", "internal_sql_execute_timeout", "enable_upgrade_mode"];
    let wanted = names.map(|name| format!("NAME = '{name}'")).join(" OR ");
    let view = match whose {
        Whose::OneServer => "V$OB_PARAMETERS",
        Whose::AllServers => "GV$OB_PARAMETERS",
    };
    let rows = session.rows(view, &format!("SELECT NAME, VALUE FROM oceanbase.{view} WHERE {wanted}")).await?;
    let [lease, permanent, internal, upgrade] = names;
    Ok(Parameters {
        lease_time: longest(&rows, lease),
        server_permanent_offline_time: longest(&rows, permanent),
        internal_sql_execute_timeout: longest(&rows, internal),
        enable_upgrade_mode: any_true(&rows, upgrade),
    })
}

fn values<'a>(rows: &'a [TextRow], name: &str) -> Fact<Vec<&'a str>> {
    let mut values = Vec::new();
    for row in rows {
        if row.text("NAME")?.eq_ignore_ascii_case(name) {
            values.push(row.text("VALUE")?);
        }
    }
    if values.is_empty() { Err(Unreadable::new(format!("there is no parameter {name}"))) } else { Ok(values) }
}

fn longest(rows: &[TextRow], name: &str) -> Fact<Duration> {
    let mut longest = Duration::ZERO;
    for value in values(rows, name)? {
        let time = duration(value);
        longest =
            longest.max(time.ok_or_else(|| Unreadable::new(format!("parameter {name} is {value:?}, not a time")))?);
    }
    Ok(longest)
}

fn any_true(rows: &[TextRow], name: &str) -> Fact<bool> {
    let mut any = false;
    for value in values(rows, name)? {
        any |= match value.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "on" => true,
            "false" | "0" | "off" => false,
            _ => return Err(Unreadable::new(format!("parameter {name} is {value:?}, neither True nor False"))),
        };
    }
    Ok(any)
}

/// A time as OceanBase writes it: `10s`, `5m`, `500ms`; without a unit seconds.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let micros = match text[end..].trim().to_ascii_lowercase().as_str() {
        "us" => 1,
        "ms" => 1_000,
        "s" | "" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    Some(Duration::from_micros(number.checked_mul(micros)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, seconds) in [("10s", 10), ("5m", 300), ("3600", 3600), ("1h", 3600), ("1d", 86_400), ("2000ms", 2)] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "10x", "-1s", "99999999999999999999s", "1.5s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn servers_that_disagree_give_the_cautious_value() {
        let row = |value| TextRow::of(&[("NAME", Some("lease_time")), ("VALUE", Some(value))]);
        assert_eq!(longest(&[row("10s"), row("1m")], "lease_time"), Ok(Duration::from_secs(60)));
        assert!(longest(&[row("10s"), row("soon")], "lease_time").is_err());
        assert!(longest(&[], "lease_time").is_err());
        let row = |value| TextRow::of(&[("NAME", Some("enable_upgrade_mode")), ("VALUE", Some(value))]);
        assert_eq!(any_true(&[row("False"), row("True")], "enable_upgrade_mode"), Ok(true));
    }

    #[test]
    fn a_server_row_with_nulls_is_read_or_refused() {
        let mut columns = vec![
            ("SVR_IP", Some("10.0.0.1")),
            ("SVR_PORT", Some("2882")),
            ("ID", Some("1")),
            ("ZONE", Some("zone1")),
            ("SQL_PORT", Some("2881")),
            ("WITH_ROOTSERVER", Some("YES")),
            ("STATUS", Some("active")),
            ("START_SERVICE_TIME", None),
            ("STOP_TIME", None),
        ];
        let read = server(&TextRow::of(&columns)).unwrap();
        assert!(read.with_rootserver && read.stop_time.is_none() && read.last_offline_time.is_none());
        columns[6].1 = Some("DREAMING");
        assert!(server(&TextRow::of(&columns)).is_err());
        columns.pop();
        assert!(server(&TextRow::of(&columns)).is_err(), "STOP_TIME missing is not STOP_TIME NULL");
    }

    #[test]
    fn metas_follow_their_user_tenant() {
        let row = |id, kind, locality, previous| {
            TextRow::of(&[
                ("TENANT_ID", Some(id)),
                ("TENANT_TYPE", Some(kind)),
                ("LOCALITY", locality),
                ("PREVIOUS_LOCALITY", previous),
            ])
        };
        let tenants =
            [row("1001", "META", None, None), row("1002", "USER", Some("FULL{1}@z1, FULL{1}@z2"), Some("FULL{1}@z1"))];
        let tenants = metas_follow(tenants.iter().map(|row| tenant(row).unwrap()).collect());
        assert_eq!(tenants[0].paxos_replica_number, Ok(2));
        assert_eq!(tenants[0].previous_locality, Ok(Some("FULL{1}@z1".to_owned())));
    }
}
