//! What axe-core finds on a page. It is not part of the console: scripts/test fetches it, and names it in `AXE_CORE`.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::tab::Tab;

/// What is found, as `impact rule: element`; what is only moderate or minor is for people to judge.
const RUN: &str = "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations \
    .filter((one) => ['serious', 'critical'].includes(one.impact)) \
    .flatMap((one) => one.nodes.map((node) => one.impact + ' ' + one.id + ': ' + node.html.slice(0, 200) + ' ' + node.failureSummary)))";

fn axe() -> &'static str {
    static AXE: OnceLock<String> = OnceLock::new();
    AXE.get_or_init(|| {
        let path = std::env::var("AXE_CORE")
            .expect("AXE_CORE is not set: run the tests with scripts/test, which fetches axe-core and sets it");
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    })
}

/// Violations of serious or critical impact on the page as it is shown now.
pub async fn violations(tab: &Tab) -> Vec<String> {
    if tab.value("typeof axe").await == "undefined" {
        tab.value(&format!("{};0", axe())).await;
    }
    let found: Value = tab.value(RUN).await;
    found
        .as_array()
        .unwrap_or_else(|| panic!("{}", json!(found)))
        .iter()
        .map(|one| one.as_str().unwrap().to_owned())
        .collect()
}
