//! `obsteward notifications`: who is notified of what people wait for, and how that goes.

use super::client::{Client, READ_TIMEOUT};
use super::exit::Exit;
use super::failure::Failure;
use super::listed::Listed;
use super::output::Output;
use super::pages;
use super::table::Table;
use super::times;
use crate::proto::v1;

pub async fn run(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let targets = pages::all(async |page_size, page_token| {
        let request = v1::ListNotificationTargetsRequest { page_size, page_token };
        let mut admin = client.admin();
        let asked = admin.list_notification_targets(request);
        let page = client.call("list notification targets", READ_TIMEOUT, asked).await?;
        Ok((page.targets, page.next_page_token))
    });
    Listed::whole("targets", &targets.await?).show(output, table)
}

fn table(targets: &[v1::NotificationTarget]) -> Table {
    let mut table = Table::new(&["NAME", "TARGET", "EVENTS", "CLUSTERS", "DELIVERED", "FAILING SINCE", "ERROR"]);
    for target in targets {
        let of_webhook = |names: &[String], none: &str| match target.kind() {
            v1::NotificationTargetKind::Webhook if names.is_empty() => none.to_owned(),
            v1::NotificationTargetKind::Webhook => names.join(","),
            v1::NotificationTargetKind::Alertmanager | v1::NotificationTargetKind::Unspecified => "-".to_owned(),
        };
        table.row([
            target.name.clone(),
            target.host.clone(),
            of_webhook(&target.events, "-"),
            of_webhook(&target.clusters, "all"),
            times::shown(target.delivery_time.as_ref()),
            times::shown(target.failing_since.as_ref()),
            if target.error.is_empty() { "-".to_owned() } else { target.error.clone() },
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::Paint;

    #[test]
    fn one_line_per_target() {
        let at = |seconds: i64| Some(prost_types::Timestamp { seconds: 1_767_323_045 + seconds, nanos: 0 });
        let webhook = v1::NotificationTarget {
            name: "ops".to_owned(),
            kind: v1::NotificationTargetKind::Webhook.into(),
            host: "https://hooks.example.com:443".to_owned(),
            events: vec!["failed".to_owned(), "held".to_owned()],
            delivery_time: at(0),
            failing_since: at(9),
            error: "https://hooks.example.com:443 answered 500 Internal Server Error".to_owned(),
            ..Default::default()
        };
        let alertmanager = v1::NotificationTarget {
            name: "alertmanager".to_owned(),
            kind: v1::NotificationTargetKind::Alertmanager.into(),
            host: "http://am:9093".to_owned(),
            ..Default::default()
        };
        assert_eq!(
            table(&[alertmanager, webhook]).lines(Paint::Plain),
            [
                "NAME          TARGET                         EVENTS       CLUSTERS  DELIVERED                 FAILING SINCE             ERROR",
                "alertmanager  http://am:9093                 -            -         -                         -                         -",
                "ops           https://hooks.example.com:443  failed,held  all       2026-01-02T03:04:05.000Z  2026-01-02T03:04:14.000Z  https://hooks.example.com:443 answered 500 Internal Server Error",
            ]
        );
    }
}
