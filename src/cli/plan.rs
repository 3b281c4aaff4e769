//! A plan in words: every check with its verdict, evidence, remedy, and what overrides it. Pure.

use super::style::Paint;
use super::table::{Table, flat};
use super::{times, words};
use crate::proto::v1;

/// Longest evidence in a plan that is not the whole one, in characters.
const LONGEST_EVIDENCE: usize = 130;

#[derive(Clone, Copy, Debug)]
pub struct Heading {
    /// `stop` or `restart`.
    pub verb: &'static str,
    /// Whether the server would be frozen first.
    pub freeze: bool,
}

/// The lines of a plan: with every check, or only with those that say something.
pub fn plan_lines(heading: Heading, plan: &v1::StopPlan, whole: bool, paint: Paint) -> Vec<String> {
    let read = times::shown(plan.observed_at.as_ref());
    let mut lines = vec![format!(
        "plan: {}{} {}, cluster {}{}, read {read}",
        if heading.freeze { "freeze and " } else { "" },
        heading.verb,
        if plan.server_id == 0 { place(plan) } else { format!("{} ({})", place(plan), flat(&plan.zone)) },
        plan.cluster_id,
        if plan.server_id == 0 { String::new() } else { format!(" server {}", plan.server_id) },
    )];
    let mut table = Table::new(&["CHECK", "VERDICT", "OVERRIDE", "EVIDENCE"]);
    let shown: Vec<_> = plan.checks.iter().filter(|check| whole || check.verdict() != v1::Verdict::Pass).collect();
    for check in &shown {
        let verdict = words::verdict(check.verdict).into_owned();
        let evidence = if whole { check.evidence.clone() } else { cut(&check.evidence) };
        table.row([check.name.clone(), verdict, overriding(check), evidence]);
    }
    if !table.is_empty() {
        let mut rows = table.lines(paint).into_iter();
        lines.extend(rows.next());
        for (row, check) in rows.zip(&shown) {
            lines.push(painted(check, &row, paint));
            if !check.remedy.is_empty() {
                let word = if check.verdict() == v1::Verdict::Info { "note" } else { "remedy" };
                lines.push(format!("    {word}: {}", flat(&check.remedy)));
            }
        }
    }
    if shown.len() < plan.checks.len() {
        let passed = plan.checks.len() - shown.len();
        lines.push(format!("{passed} of {} checks pass (--plan shows each)", plan.checks.len()));
    }
    if is_whole(plan) {
        lines.push("service afterwards: none, for nobody, until the cluster is started".to_owned());
        lines.push(verdict(plan, paint));
        return lines;
    }
    let moves: Vec<_> =
        plan.leader_moves.iter().map(|moved| format!("{} of {}", moved.leaders, flat(&moved.tenant_name))).collect();
    lines.push(format!("leaders that move: {}", if moves.is_empty() { "none".to_owned() } else { moves.join(", ") }));
    let tolerated = plan.failures_tolerated_after.map_or_else(|| "not known".to_owned(), |count| count.to_string());
    lines.push(format!("servers that may fail afterwards: {tolerated}"));
    lines.extend(plan.clients.iter().map(|one| clients(plan, one)));
    lines.push(verdict(plan, paint));
    lines
}

fn verdict(plan: &v1::StopPlan, paint: Paint) -> String {
    match plan.allowed {
        true => paint.green("verdict: the stop would be let through"),
        false => paint.red("verdict: the stop is blocked"),
    }
}

/// Whether it is of the whole cluster, whose servers are always frozen.
pub const fn is_whole(plan: &v1::StopPlan) -> bool {
    plan.server_id == 0 && plan.zone.is_empty()
}

/// What is to be stopped: the address of a server, a zone, or all.
pub fn place(plan: &v1::StopPlan) -> String {
    match plan.server_id {
        _ if is_whole(plan) => "all servers".to_owned(),
        0 => format!("zone {}", flat(&plan.zone)),
        _ => flat(&plan.address).to_string(),
    }
}

/// What clients have on a server, in a line; its address where there are several.
fn clients(plan: &v1::StopPlan, found: &v1::ServerClients) -> String {
    let place = if plan.server_id == 0 { format!(" on {}", flat(&found.address)) } else { String::new() };
    let counts = |one: &v1::TenantClients| {
        let v1::TenantClients { tenant, sessions, active_sessions, open_transactions } = one;
        let counted = [(*sessions, "sessions"), (*active_sessions, "active"), (*open_transactions, "transactions")];
        format!("{} {}", flat(tenant), counted.map(|(count, noun)| format!("{count} {noun}")).join(", "))
    };
    let tenants: Vec<String> = found.tenants.iter().map(counts).collect();
    let what = match found.not_known_reason.as_str() {
        "" if tenants.is_empty() => "none".to_owned(),
        "" => tenants.join("; "),
        why => format!("not known, {}", flat(why)),
    };
    format!("clients{place}: {what}")
}

/// A beginning that fits a line or two; the whole plan has the rest.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_EVIDENCE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn overriding(check: &v1::PlanCheck) -> String {
    let option = match check.overridden_by() {
        v1::OverriddenBy::Unspecified => String::new(),
        v1::OverriddenBy::Force => "--force".to_owned(),
        v1::OverriddenBy::ForceAndQuorumLoss => "--force --accept-risk QUORUM_LOSS".to_owned(),
        by @ (v1::OverriddenBy::QuorumLoss | v1::OverriddenBy::ClusterUnreachable | v1::OverriddenBy::ServiceLoss) => {
            format!("--accept-risk {}", words::overridden_by(by))
        }
    };
    match check.verdict() {
        v1::Verdict::Unspecified | v1::Verdict::Pass | v1::Verdict::Info => "-".to_owned(),
        v1::Verdict::Warn | v1::Verdict::Block if check.overridden => format!("by {option}"),
        v1::Verdict::Warn | v1::Verdict::Block if option.is_empty() => "nothing".to_owned(),
        v1::Verdict::Warn | v1::Verdict::Block => format!("needs {option}"),
    }
}

fn painted(check: &v1::PlanCheck, row: &str, paint: Paint) -> String {
    match check.verdict() {
        v1::Verdict::Block if !check.overridden => paint.red(row),
        v1::Verdict::Block | v1::Verdict::Warn => paint.yellow(row),
        v1::Verdict::Unspecified | v1::Verdict::Pass | v1::Verdict::Info => row.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_shown_with_what_overrides_it() {
        use v1::OverriddenBy::{ClusterUnreachable, Force, QuorumLoss, Unspecified};
        let check =
            |name: &str, verdict: v1::Verdict, evidence: &str, by: v1::OverriddenBy, overridden| v1::PlanCheck {
                name: name.to_owned(),
                verdict: verdict as i32,
                evidence: evidence.to_owned(),
                remedy: if verdict == v1::Verdict::Block {
                    "wait until it is in sync".to_owned()
                } else {
                    String::new()
                },
                overridden_by: by as i32,
                overridden,
            };
        let plan = v1::StopPlan {
            cluster_id: 1,
            server_id: 2,
            address: "10.0.0.2:2882".to_owned(),
            zone: "zone2".to_owned(),
            allowed: false,
            checks: vec![
                check("CLUSTER_READABLE", v1::Verdict::Pass, "3 servers read", ClusterUnreachable, false),
                check("LOG_IN_SYNC", v1::Verdict::Block, "1001: 9 s behind", Force, true),
                check("MAJORITY", v1::Verdict::Block, "1002: 1 of 3 left", QuorumLoss, false),
                check("NOT_LAST_SERVER", v1::Verdict::Block, "1 server", Unspecified, false),
            ],
            leader_moves: vec![v1::LeaderMove { tenant_id: 1, tenant_name: "sys".to_owned(), leaders: 3 }],
            failures_tolerated_after: Some(0),
            observed_at: Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 }),
            clients: vec![v1::ServerClients {
                address: "10.0.0.2:2882".to_owned(),
                tenants: vec![
                    v1::TenantClients {
                        tenant: "app".to_owned(),
                        sessions: 3,
                        active_sessions: 1,
                        open_transactions: 2,
                    },
                    v1::TenantClients { tenant: "test".to_owned(), sessions: 1, ..Default::default() },
                ],
                not_known_reason: String::new(),
            }],
        };
        let heading = Heading { verb: "stop", freeze: false };
        assert_eq!(
            plan_lines(heading, &plan, true, Paint::Plain).join("\n"),
            "plan: stop 10.0.0.2:2882 (zone2), cluster 1 server 2, read 2026-01-02T03:04:05.678Z
CHECK             VERDICT  OVERRIDE                         EVIDENCE
CLUSTER_READABLE  PASS     -                                3 servers read
LOG_IN_SYNC       BLOCK    by --force                       1001: 9 s behind
    remedy: wait until it is in sync
MAJORITY          BLOCK    needs --accept-risk QUORUM_LOSS  1002: 1 of 3 left
    remedy: wait until it is in sync
NOT_LAST_SERVER   BLOCK    nothing                          1 server
    remedy: wait until it is in sync
leaders that move: 3 of sys
servers that may fail afterwards: 0
clients: app 3 sessions, 1 active, 2 transactions; test 1 sessions, 0 active, 0 transactions
verdict: the stop is blocked"
        );
        let short = plan_lines(heading, &plan, false, Paint::Plain).join("\n");
        assert!(!short.contains("CLUSTER_READABLE") && short.contains("1 of 4 checks pass"), "{short}");
        let heading = Heading { verb: "restart", freeze: true };
        let restart = plan_lines(heading, &plan, false, Paint::Plain);
        assert!(restart[0].starts_with("plan: freeze and restart 10.0.0.2:2882 (zone2), "), "{restart:?}");
    }
}
