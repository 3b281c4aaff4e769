//! A healthy cluster for tests: one server in each of `servers` zones, the sys tenant, META tenant 1001 and user tenant 1002
//! with a replica everywhere, all led from server 1.

use std::time::Duration;

use super::{
    ClusterReading, Facts, LogReplica, LogStreamReading, Parameters, Role, ServerReading, TenantReading, TenantType,
    ZoneReading,
};
use crate::clock::Timestamp;
use crate::domain::ids::{ClusterIdentity, ServerAddr};
use crate::domain::status::{InnerStatus, ZoneInnerStatus};

pub const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

pub fn addr(number: u8) -> ServerAddr {
    format!("127.0.1.{number}:2882").parse().unwrap()
}

pub fn server(number: u8) -> ServerReading {
    ServerReading {
        addr: addr(number),
        ob_server_id: i64::from(number),
        zone: format!("zone{number}").parse().unwrap(),
        sql_port: 2881,
        with_rootserver: number == 1,
        status: InnerStatus::Active,
        start_service_time: Some(NOW.minus(Duration::from_secs(3600))),
        stop_time: None,
        last_offline_time: None,
        create_time: None,
        build_version: "4.3.5.0".to_owned(),
    }
}

pub fn tenant(id: i64, replicas: i64) -> TenantReading {
    let tenant_type = match id {
        1 => TenantType::Sys,
        id if id % 2 == 1 => TenantType::Meta,
        _ => TenantType::User,
    };
    TenantReading {
        id,
        name: format!("tenant{id}"),
        tenant_type: Ok(tenant_type),
        locality: String::new(),
        previous_locality: Ok(None),
        status: "NORMAL".to_owned(),
        role: Ok("PRIMARY".to_owned()),
        arbitration: Ok("DISABLED".to_owned()),
        paxos_replica_number: Ok(replicas),
    }
}

/// A log stream with replicas on these servers, the first leads.
pub fn log_stream(tenant_id: i64, ls_id: i64, on: &[u8]) -> LogStreamReading {
    let members: Vec<ServerAddr> = on.iter().map(|number| addr(*number)).collect();
    let replica = |(index, number): (usize, &u8)| LogReplica {
        addr: addr(*number),
        role: Ok(if index == 0 { Role::Leader } else { Role::Follower }),
        proposal_id: Ok(1),
        member_list: Ok(members.clone()),
        paxos_replica_number: Ok(i64::try_from(on.len()).unwrap()),
        end_scn: Ok(1_700_000_000_000_000_000),
    };
    LogStreamReading {
        tenant_id,
        ls_id,
        replicas: on.iter().enumerate().map(replica).collect(),
        unreadable: vec![],
        degraded_list: Ok(vec![]),
        arbitration_member: Ok(None),
    }
}

pub fn cluster(servers: u8) -> ClusterReading {
    let all: Vec<u8> = (1..=servers).collect();
    let zone = |number: &u8| ZoneReading {
        name: format!("zone{number}").parse().unwrap(),
        status: ZoneInnerStatus::Active,
        region: "region1".to_owned(),
        idc: String::new(),
        zone_type: "ReadWrite".to_owned(),
    };
    ClusterReading {
        identity: ClusterIdentity { name: "c".to_owned(), ob_cluster_id: 1, fingerprint: "f".to_owned() },
        observed_at: NOW,
        servers: all.iter().map(|number| server(*number)).collect(),
        zones: all.iter().map(zone).collect(),
        tenants: [1, 1001, 1002].into_iter().map(|id| tenant(id, i64::from(servers))).collect(),
        log_streams: [(1, 1), (1001, 1), (1002, 1), (1002, 1001)]
            .into_iter()
            .map(|(tenant, ls)| log_stream(tenant, ls, &all))
            .collect(),
        units: Ok(vec![]),
        parameters: Parameters {
            lease_time: Ok(Duration::from_secs(10)),
            server_permanent_offline_time: Ok(Duration::from_secs(3600)),
            internal_sql_execute_timeout: Ok(Duration::from_secs(30)),
            enable_upgrade_mode: Ok(false),
        },
        arbitration: Ok(vec![]),
        facts: Facts::not_asked("a test"),
    }
}
