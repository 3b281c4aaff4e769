//! `obsteward audit`: who asked for what, allowed or refused, newest first.

use clap::Args;

use super::client::{Client, READ_TIMEOUT};
use super::exit::Exit;
use super::failure::Failure;
use super::listed::Listed;
use super::output::Output;
use super::pages;
use super::resolve;
use super::table::Table;
use super::times::{self, Since};
use super::words;
use crate::clock::{Clock, Timestamp};
use crate::domain::call::Call;
use crate::domain::ids::LARGEST_ID;
use crate::proto::v1;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only what this caller asked for
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    principal: String,
    /// Only this operation, for example STOP_OB_SERVER
    #[arg(long, value_name = "OPERATION", value_parser = words::parse_operation)]
    operation: Option<Call>,
    /// Only what is about this task
    #[arg(long, value_name = "TASK_ID", value_parser = clap::value_parser!(i64).range(1..=LARGEST_ID))]
    task: Option<i64>,
    /// Only what is about this cluster, by name or id
    #[arg(long, value_name = "CLUSTER")]
    cluster: Option<String>,
    /// Only what was refused
    #[arg(long, conflicts_with = "accepted")]
    refused: bool,
    /// Only what was done, or recorded to be done
    #[arg(long)]
    accepted: bool,
    /// Only what is not older: a duration before now or a moment, for example 2h or 2026-01-02T03:04:05Z
    #[arg(long, value_name = "SINCE", value_parser = times::parse_since)]
    since: Option<Since>,
    /// Most records to list
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl AuditArgs {
    /// The request, the same for every page.
    fn request(&self, cluster_id: Option<i64>, now: Timestamp) -> v1::ListAuditRecordsRequest {
        let result = match (self.refused, self.accepted) {
            (true, _) => v1::AuditResult::Refused,
            (false, true) => v1::AuditResult::Accepted,
            (false, false) => v1::AuditResult::Unspecified,
        };
        v1::ListAuditRecordsRequest {
            principal: self.principal.clone(),
            operation: self.operation.map(|call| call.as_str().to_owned()).unwrap_or_default(),
            task_id: self.task,
            cluster_id,
            result: result as i32,
            since: self.since.map(|since| times::to_proto(since.moment(now))),
            ..Default::default()
        }
    }
}

pub async fn run(args: AuditArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = match &args.cluster {
        Some(cluster) => Some(resolve::cluster(client, cluster).await?),
        None => None,
    };
    let wanted = args.request(cluster_id, Clock::system().now());
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let records = pages::first(limit, async |page_size, page_token| {
        let request = v1::ListAuditRecordsRequest { page_size, page_token, ..wanted.clone() };
        let page = client.call("list audit records", READ_TIMEOUT, client.admin().list_audit_records(request)).await?;
        Ok((page.records, page.next_page_token))
    });
    let (records, more) = records.await?;
    Listed::first("records", &records, more).show(output, table)
}

fn table(records: &[v1::AuditRecord]) -> Table {
    let mut table =
        Table::new(&["TIME", "PRINCIPAL", "ADDRESS", "OPERATION", "RESULT", "TASK", "REFUSAL", "TARGET", "REASON"])
            .with_wide(&["ID", "CLUSTER", "TRACE", "ARGUMENTS"]);
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    for record in records {
        table.row([
            times::shown(record.time.as_ref()),
            record.principal.clone(),
            // What the service does by itself comes from nowhere.
            or_dash(&record.address),
            record.operation.clone(),
            words::audit_result(record.result).into_owned(),
            record.task_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            or_dash(&record.refusal),
            record.target.clone(),
            record.reason.clone(),
            record.id.to_string(),
            record.cluster_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            or_dash(&record.trace_id),
            record.arguments.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed::parsed;
    use crate::cli::style::Paint;

    fn asked(line: &str) -> v1::ListAuditRecordsRequest {
        parsed::<AuditArgs>(line).request(None, Timestamp::from_micros(7_200_000_000))
    }

    #[test]
    fn what_is_asked_for_is_what_was_given() {
        assert_eq!(asked(""), v1::ListAuditRecordsRequest::default());
        let some = asked("--principal bob --operation stop-ob-server --task 7 --refused --since 1h");
        assert_eq!(
            (some.principal.as_str(), some.operation.as_str(), some.task_id),
            ("bob", "STOP_OB_SERVER", Some(7))
        );
        assert_eq!((some.result(), some.since.unwrap().seconds), (v1::AuditResult::Refused, 3600));
        assert_eq!(asked("--accepted").result(), v1::AuditResult::Accepted);
    }

    #[test]
    fn one_line_per_record() {
        let record = v1::AuditRecord {
            time: Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 }),
            principal: "bob".to_owned(),
            address: "127.0.0.1:4711".to_owned(),
            operation: "STOP_OB_SERVER".to_owned(),
            target: "cluster 1 server 2 (10.0.0.2:2882)".to_owned(),
            result: v1::AuditResult::Refused as i32,
            refusal: "PERMISSION_DENIED".to_owned(),
            id: 9,
            arguments: "{\"force\":true}".to_owned(),
            ..Default::default()
        };
        let wide = table(std::slice::from_ref(&record)).wide_lines(Paint::Plain);
        assert!(wide[1].ends_with("(10.0.0.2:2882)          9   -        -      {\"force\":true}"), "{wide:?}");
        assert_eq!(
            table(&[record]).lines(Paint::Plain)[1],
            "2026-01-02T03:04:05.678Z  bob        127.0.0.1:4711  STOP_OB_SERVER  REFUSED  -     PERMISSION_DENIED  \
             cluster 1 server 2 (10.0.0.2:2882)"
        );
    }
}
