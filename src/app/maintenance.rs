//! The maintenance policies that the configuration names, checked at start.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::AppError;
use crate::clock::Timestamp;
use crate::config::{ApprovalConfig, Config, MaintenanceConfig};
use crate::domain::maintenance::{ApprovalRule, MaintenancePolicies, MaintenancePolicy};
use crate::domain::status::Risk;

/// In seconds.
const APPROVAL_TIMES: std::ops::RangeInclusive<u64> = 60..=30 * 24 * 3600;

fn wrong(setting: &str, error: impl Display) -> AppError {
    AppError::Setting { setting: "maintenance", error: format!("{setting}: {error}") }
}

/// By the names of clusters.
pub(super) fn policies(config: &Config) -> Result<MaintenancePolicies, AppError> {
    let (mut named, mut other) = (HashMap::new(), None);
    for section in &config.maintenance {
        let policy = policy(section)?;
        if policy.approval != ApprovalRule::Never && !config.auth.enabled {
            let error = "needs auth.enabled = true: without it nobody is told apart, and nobody could approve";
            return Err(wrong("approval", error));
        }
        if section.clusters.is_empty() && other.replace(policy.clone()).is_some() {
            return Err(wrong("clusters", "two sections name no cluster, name those of one of them"));
        }
        for cluster in &section.clusters {
            if named.insert(cluster.clone(), policy.clone()).is_some() {
                return Err(wrong("clusters", format_args!("{cluster:?} is in two sections, name it in one")));
            }
        }
    }
    Ok(MaintenancePolicies::new(named, other.unwrap_or_default()))
}

/// What a person should know of the policies although they are valid.
pub(super) fn odd_hours(config: &Config, now: Timestamp) -> Result<Vec<String>, AppError> {
    let mut all = Vec::new();
    for section in &config.maintenance {
        all.extend(policy(section)?.odd_hours(now));
    }
    Ok(all)
}

fn policy(section: &MaintenanceConfig) -> Result<MaintenancePolicy, AppError> {
    let zone = &section.time_zone;
    let time_zone = TimeZone::get(zone).map_err(|_| {
        wrong("time_zone", format_args!("{zone:?} is not in the IANA database, write a name such as Asia/Shanghai"))
    })?;
    let risks = parsed::<Risk>("approval_risks", &section.approval_risks)?;
    let approval = match (section.approval, risks.is_empty()) {
        (ApprovalConfig::Never, true) => ApprovalRule::Never,
        (ApprovalConfig::Always, true) => ApprovalRule::Always,
        (ApprovalConfig::ForRisks, false) => ApprovalRule::Risks(risks),
        (ApprovalConfig::ForRisks, true) => {
            return Err(wrong("approval_risks", "names no risk, and approval is for_risks; name those that need it"));
        }
        (ApprovalConfig::Never | ApprovalConfig::Always, false) => {
            return Err(wrong("approval_risks", "is only of approval = \"for_risks\", leave it out"));
        }
    };
    let seconds = section.approval_seconds;
    if !APPROVAL_TIMES.contains(&seconds) {
        return Err(wrong("approval_seconds", format_args!("{seconds} is not between 60 and 2592000")));
    }
    Ok(MaintenancePolicy {
        time_zone,
        windows: parsed("windows", &section.windows)?,
        exclusions: parsed("exclusions", &section.exclusions)?,
        starts: section.starts,
        approval,
        approval_time: Duration::from_secs(seconds),
    })
}

fn parsed<T: FromStr<Err: Display>>(setting: &str, texts: &[String]) -> Result<Vec<T>, AppError> {
    texts.iter().map(|text| text.parse().map_err(|error| wrong(setting, error))).collect()
}
