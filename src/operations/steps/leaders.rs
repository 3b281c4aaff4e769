//! What keeps leaders on what is stopped, for people.

use std::collections::BTreeSet;

use crate::clock::monotonic_now;
use crate::domain::blocker::{Blocker, Blockers};
use crate::domain::ids::ServerAddr;
use crate::domain::precheck::{HAS_NOT_LEFT, LedFrom, why_leader_stays};
use crate::domain::reading::ServerReading;
use crate::engine::StepContext;
use crate::oceanbase::ClusterReader;
use crate::operations::{Deps, step_io};

/// How often it is looked again why leaders stay, as a multiple of the pause between looks.
const LOOKS_PER_REASON: u32 = 30;
/// How many looks it counts for to look why leaders stay: it asks three things more.
const LOOKS_OF_REASONS: u32 = 3;

/// Which leaders are left, and why. Which they are every look tells; why they stay is looked at only once they do not move, and
/// rarely. Returns how many looks that counts for too.
pub(super) async fn what_keeps_leaders(
    deps: &Deps,
    context: &StepContext,
    reader: &mut dyn ClusterReader,
    (servers, stopped): (&[ServerReading], &BTreeSet<ServerAddr>),
    left: &[LedFrom],
) -> (Blockers, u32) {
    let now = monotonic_now();
    let looked = context.memory().leaders_looked_at.map(|at| now.saturating_duration_since(at));
    let due = context.unmoved >= deps.timeouts.between_readings()
        && looked.is_none_or(|age| age >= deps.timeouts.poll * LOOKS_PER_REASON);
    if due {
        let read = async { Ok((reader.tenants().await?, reader.zones().await?, reader.log_streams().await?)) };
        let read = step_io::bounded(deps, context, read).await;
        // Without an answer they are named all the same, and it is asked again no sooner.
        context.memory().leaders_looked_at = Some(now);
        if let Ok((tenants, zones, log_streams)) = read {
            step_io::remember_tenants(context, tenants);
            let why = log_streams.iter().map(|log_stream| {
                let why = why_leader_stays(log_stream, servers, &zones, stopped);
                ((log_stream.tenant_id, log_stream.ls_id), why)
            });
            context.memory().leaders_stay = why.collect();
        }
    }
    let memory = context.memory();
    let blocker = |led: &LedFrom| {
        let why = memory.leaders_stay.get(&(led.tenant_id, led.ls_id)).map_or(HAS_NOT_LEFT, String::as_str);
        Blocker::log_stream(led.tenant_id, led.ls_id, why).on(led.addr)
    };
    let blockers: Blockers = left.iter().map(blocker).collect();
    let blockers = match &memory.tenant_names {
        Some(names) => blockers.with_tenant_names(names),
        None => blockers,
    };
    (blockers, if due { LOOKS_OF_REASONS } else { 1 })
}
