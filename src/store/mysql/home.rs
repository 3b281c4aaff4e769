//! Where the database lives: which tenant of which OceanBase answers the store's own session
//! (docs/oceanbase.md#oceanbase-as-the-database-of-the-store).

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::MysqlStore;
use super::connection::{MysqlConnection, Product};
use super::options::MysqlOptions;
use crate::clock::monotonic_now;
use crate::domain::ids::ServerAddr;
use crate::domain::reading::{Fact, Unreadable};
use crate::domain::store_home::{StoreHome, StoreTenant};
use crate::store::StoreError;
use crate::store::home::Located;
use crate::store::sql::{SqlRow, damaged};

/// For how long a tenant that was read is good: it stays in its cluster, but after a switchover another may stand
/// behind the same name.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// Limit for reading it: less than the gate has behind the ticket of an agent.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Who answers, and for which tenant.
const WHO: &str = "SELECT host_ip(), rpc_port(), effective_tenant_id()";
/// A user tenant sees the parameters of its cluster too.
const CLUSTER: &str = "SELECT NAME, VALUE FROM oceanbase.V$OB_PARAMETERS WHERE NAME IN ('cluster', 'cluster_id')";

/// What was read, and when it was tried last.
#[derive(Default)]
pub(super) struct KnownHome(Mutex<Option<(StoreHome, Instant)>>);

#[async_trait]
impl Located for MysqlStore {
    async fn home(&self) -> StoreHome {
        // One reads, others wait for what it finds.
        let mut known = self.home.0.lock().await;
        if let Some((home, at)) = &*known
            && (*home == StoreHome::InNoCluster || at.elapsed() < GOOD_FOR)
        {
            return home.clone();
        }
        let read = timeout(READ_TIMEOUT, read(&self.options)).await;
        let read = read.unwrap_or_else(|_| {
            Err(StoreError::Failed(format!("no answer of the database within {} s", READ_TIMEOUT.as_secs())))
        });
        match (read, known.take()) {
            (Ok(home), former) => {
                if former.is_none_or(|(former, _)| is_another(&former, &home)) {
                    tell(&self.options, &home);
                }
                *known = Some((home.clone(), monotonic_now()));
                home
            }
            // Asked anew next time; what it told last is the better guess meanwhile.
            (Err(error), Some((home, at))) if !matches!(home, StoreHome::NotKnown(_)) => {
                tracing::debug!("where the store {} lives was not read, {error}", self.options);
                *known = Some((home.clone(), at));
                home
            }
            (Err(error), _) => StoreHome::NotKnown(Unreadable::new(error.to_string())),
        }
    }
}

/// Not because another server of the same tenant answered.
fn is_another(former: &StoreHome, home: &StoreHome) -> bool {
    match (former, home) {
        (StoreHome::Tenant(former), StoreHome::Tenant(tenant)) => {
            (former.tenant_id, &former.cluster) != (tenant.tenant_id, &tenant.cluster)
        }
        (StoreHome::InNoCluster | StoreHome::Tenant(_) | StoreHome::NotKnown(_), _) => former != home,
    }
}

fn tell(options: &MysqlOptions, home: &StoreHome) {
    if let StoreHome::Tenant(tenant) = home {
        tracing::info!("the store {options} is {tenant}: no stop that costs it its majority is begun");
    }
}

async fn read(options: &MysqlOptions) -> Result<StoreHome, StoreError> {
    let mut connection = MysqlConnection::open(options).await?;
    match connection.product() {
        Product::MySql | Product::MariaDb => return Ok(StoreHome::InNoCluster),
        Product::OceanBase | Product::SeekDb => {}
    }
    let (tenant_id, answered_by) = match connection.rows(WHO, Vec::new()).await {
        Ok(rows) => who(&rows)?,
        // Since 1.4 it has no tenants.
        Err(_) if connection.product() == Product::SeekDb => return Ok(StoreHome::InNoCluster),
        Err(error) => return Err(error),
    };
    let cluster = match connection.rows(CLUSTER, Vec::new()).await {
        Ok(rows) => cluster(&rows),
        Err(error) => Err(error),
    };
    let cluster: Fact<_> = cluster.map_err(|error| Unreadable::new(error.to_string()));
    let endpoints = match tokio::net::lookup_host((options.host.as_str(), options.port)).await {
        Ok(endpoints) => endpoints.collect(),
        Err(_) => Vec::<SocketAddr>::new(),
    };
    Ok(StoreHome::Tenant(StoreTenant { tenant_id, answered_by, cluster, endpoints }))
}

fn who(rows: &[SqlRow]) -> Result<(i64, ServerAddr), StoreError> {
    let row = rows.first().ok_or_else(|| damaged("host_ip() gave no row"))?;
    let port = u16::try_from(row.int(1)?).map_err(damaged)?;
    Ok((row.int(2)?, ServerAddr::new(row.word(0)?, port).map_err(damaged)?))
}

fn cluster(rows: &[SqlRow]) -> Result<(String, i64), StoreError> {
    let value = |name: &str| {
        let row = rows.iter().find(|row| row.text(0).is_ok_and(|it| it.eq_ignore_ascii_case(name)));
        row.ok_or_else(|| damaged(format!("V$OB_PARAMETERS has no {name}")))
    };
    Ok((value("cluster")?.owned_text(1)?, value("cluster_id")?.int(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql::SqlValue;

    fn row(values: [&str; 2]) -> SqlRow {
        SqlRow::new(values.map(SqlValue::from).to_vec())
    }

    #[test]
    fn who_answers_is_read_or_refused() {
        let who = |values: [&str; 3]| super::who(&[SqlRow::new(values.map(SqlValue::from).to_vec())]);
        assert_eq!(who(["10.0.0.1", "2882", "1002"]).unwrap(), (1002, "10.0.0.1:2882".parse().unwrap()));
        assert_eq!(who(["fe80::1", "2882", "1"]).unwrap(), (1, "[fe80::1]:2882".parse().unwrap()));
        for odd in [["", "2882", "1"], ["10.0.0.1", "0", "1"], ["10.0.0.1", "70000", "1"], ["10.0.0.1", "2882", "x"]] {
            assert!(who(odd).is_err(), "{odd:?}");
        }
        assert!(super::who(&[]).is_err());
    }

    #[test]
    fn a_cluster_has_a_name_and_an_id() {
        let both = [row(["cluster_id", "7"]), row(["CLUSTER", "c"])];
        assert_eq!(cluster(&both).unwrap(), ("c".to_owned(), 7));
        assert!(cluster(&both[..1]).is_err());
        assert!(cluster(&[row(["cluster", "c"]), row(["cluster_id", ""])]).is_err());
    }
}
