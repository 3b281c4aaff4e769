//! What takes nothing out of service: the start of a server, a zone or a cluster, and the freeze of a server. What is recorded of
//! it, and the form that asks for it.

use std::sync::Arc;
use std::time::Duration;

use maud::html;
use uuid::Uuid;

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::asking::{confirmation, made, to_task};
use crate::api::console::target::Target;
use crate::api::console::text::Text;
use crate::api::console::visit::Visit;
use crate::domain::beginning::BeginRequest;
use crate::domain::call::Call;
use crate::domain::ids::{ClusterId, ServerAddr, ServerId};
use crate::domain::refusal::Refusal;
use crate::service::{FreezeServer, OnCluster, OnServer, OnZone, StartCluster, StartServer, StartZone};

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let target = Target::read(&visit.path)?;
    let will = match target {
        Target::Server(..) => Text::StartWill,
        Target::Zone(..) => Text::StartZoneWill,
        Target::Cluster(_) => Text::StartClusterWill,
    };
    shown(&state, &visit, &target, target.start(), Text::StartAction, will).await
}

pub async fn freeze_page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let target = Target::read(&visit.path)?;
    shown(&state, &visit, &target, Call::FreezeServer, Text::FreezeAction, Text::FreezeWill).await
}

async fn shown(
    state: &ConsoleState,
    visit: &Visit,
    target: &Target,
    call: Call,
    what: Text,
    will: Text,
) -> Result<Answer, Problem> {
    let (name, cluster) = (target.name(state, visit).await?, target.cluster());
    let hidden = [("expected", name.clone())];
    let body = html! {
        p { a href={ "/clusters/" (cluster) } { (visit.say(Text::Cluster)) " " (cluster) } }
        p { (visit.say(will)) }
        @if visit.may_on_cluster(call, cluster) { (confirmation(visit, what, &name, &hidden, None)) }
    };
    Answer::page(format!("{} {name}", visit.say(what)), body)
}

/// Records the task of a start.
pub async fn start(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let request_id = visit.form.parsed::<Uuid>("request_id", "a UUID");
    let expected = visit.form.get("expected").map(str::to_owned);
    let stored = match Target::read(&visit.path)? {
        Target::Server(cluster, server) => {
            made(&state, &visit, on_server(&visit, cluster, server).map(StartServer)).await?
        }
        Target::Zone(cluster, zone) => {
            let asked = request_id.map(|request_id| OnZone {
                cluster,
                zone,
                request_id,
                repeat_by_arguments: false,
                force: false,
                accepted_risks: Vec::new(),
                freeze_before_stop: false,
                drain: Duration::ZERO,
                expire_time: None,
                begin: begin(&visit),
            });
            made(&state, &visit, asked.map(StartZone)).await?
        }
        Target::Cluster(cluster) => {
            let asked = request_id.map(|request_id| OnCluster {
                cluster,
                expected_name: expected,
                request_id,
                repeat_by_arguments: false,
                force: false,
                accepted_risks: Vec::new(),
                expire_time: None,
                begin: begin(&visit),
            });
            made(&state, &visit, asked.map(StartCluster)).await?
        }
    };
    Ok(to_task(&stored))
}

/// Records the task of a freeze.
pub async fn freeze(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let (cluster, server) = (visit.path.cluster("cluster")?, visit.path.server("server")?);
    let stored = made(&state, &visit, on_server(&visit, cluster, server).map(FreezeServer)).await?;
    Ok(to_task(&stored))
}

fn on_server(visit: &Visit, cluster: ClusterId, server: ServerId) -> Result<OnServer, Refusal> {
    Ok(OnServer {
        cluster,
        server,
        request_id: visit.form.parsed::<Uuid>("request_id", "a UUID")?,
        repeat_by_arguments: false,
        expected_server: visit.form.parsed::<ServerAddr>("expected", "an address")?,
        begin: begin(visit),
    })
}

/// Whether what may not begin now waits.
pub fn begin(visit: &Visit) -> BeginRequest {
    BeginRequest { not_before: None, queue: visit.form.get("queue").is_some() }
}
