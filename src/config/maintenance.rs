//! When tasks may begin on a cluster, and for which of them somebody else must agree.

use serde::Deserialize;

/// Which requests wait for the approval of somebody else.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalConfig {
    #[default]
    Never,
    /// Those that accept one of `approval_risks`.
    ForRisks,
    Always,
}

/// What holds for some clusters, or for all that no other names.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct MaintenanceConfig {
    /// Names of clusters; empty: every cluster that no other section names.
    pub clusters: Vec<String>,
    /// Name in the IANA database, for example `Asia/Shanghai`.
    pub time_zone: String,
    /// Such as `Mon-Fri 22:00-04:00`; none: always.
    pub windows: Vec<String>,
    /// Such as `2026-12-24..2027-01-02`.
    pub exclusions: Vec<String>,
    /// Whether it holds for tasks too that only bring something back into service.
    pub starts: bool,
    pub approval: ApprovalConfig,
    /// Of `for_risks`.
    pub approval_risks: Vec<String>,
    /// How long an approval holds, 60 seconds to 30 days.
    pub approval_seconds: u64,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        Self {
            clusters: Vec::new(),
            time_zone: "UTC".to_owned(),
            windows: Vec::new(),
            exclusions: Vec::new(),
            starts: false,
            approval: ApprovalConfig::Never,
            approval_risks: Vec::new(),
            approval_seconds: 24 * 3600,
        }
    }
}
