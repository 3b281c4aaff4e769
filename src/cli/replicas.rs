//! `obsteward replicas`: which processes of the service are over the store, and what they do.

use super::client::{Client, READ_TIMEOUT};
use super::exit::Exit;
use super::failure::Failure;
use super::listed::Listed;
use super::output::Output;
use super::pages;
use super::table::Table;
use super::times;
use super::words;
use crate::proto::v1;

pub async fn run(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let replicas = pages::all(async |page_size, page_token| {
        let request = v1::ListReplicasRequest { page_size, page_token };
        let page = client.call("list replicas", READ_TIMEOUT, client.admin().list_replicas(request)).await?;
        Ok((page.replicas, page.next_page_token))
    });
    Listed::whole("replicas", &replicas.await?).show(output, table)
}

fn table(replicas: &[v1::Replica]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "ADDRESS", "VERSION", "STATE", "TASKS", "SINCE", "RENEWED", "ENDED"]);
    for replica in replicas {
        let answers = if replica.answering { " (answers)" } else { "" };
        // What it drove at its last renewal has another owner since it ended.
        let tasks = replica.end_time.map_or_else(|| replica.tasks.to_string(), |_| "-".to_owned());
        table.row([
            replica.id.to_string(),
            format!("{}{answers}", replica.name),
            replica.address.clone(),
            replica.version.clone(),
            words::replica_state(replica.state).into_owned(),
            tasks,
            times::shown(replica.start_time.as_ref()),
            times::shown(replica.renew_time.as_ref()),
            times::shown(replica.end_time.as_ref()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::Paint;

    #[test]
    fn one_line_per_replica() {
        let at = |seconds: i64| Some(prost_types::Timestamp { seconds: 1_767_323_045 + seconds, nanos: 0 });
        let replica = |id, state: v1::ReplicaState, answering| v1::Replica {
            id,
            name: format!("db{id}:71"),
            address: "10.0.0.1:50051".to_owned(),
            version: "0.1.0".to_owned(),
            state: state.into(),
            tasks: 3,
            start_time: at(0),
            renew_time: at(5),
            end_time: (state != v1::ReplicaState::Live).then(|| at(9).unwrap()),
            answering,
        };
        let lines = table(&[replica(1, v1::ReplicaState::Buried, false), replica(2, v1::ReplicaState::Live, true)]);
        assert_eq!(
            lines.lines(Paint::Plain),
            [
                "ID  NAME              ADDRESS         VERSION  STATE   TASKS  SINCE                     RENEWED                   ENDED",
                "1   db1:71            10.0.0.1:50051  0.1.0    BURIED  -      2026-01-02T03:04:05.000Z  2026-01-02T03:04:10.000Z  2026-01-02T03:04:14.000Z",
                "2   db2:71 (answers)  10.0.0.1:50051  0.1.0    LIVE    3      2026-01-02T03:04:05.000Z  2026-01-02T03:04:10.000Z  -",
            ]
        );
    }
}
