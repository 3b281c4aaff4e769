//! The start of a server: what is recorded of it, and the form that asks for it.

use std::sync::Arc;

use maud::html;
use uuid::Uuid;

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::text::{self, Text};
use crate::api::console::verbs::{reason_field, with_reason};
use crate::api::console::visit::Visit;
use crate::domain::beginning::BeginRequest;
use crate::domain::call::Call;
use crate::domain::ids::ServerAddr;
use crate::service::{GetServer, OnServer, StartServer};

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let (cluster, server) = (visit.path.cluster("cluster")?, visit.path.server("server")?);
    let view = state.console.guarded.call(&visit.caller, GetServer { cluster, server }).await?;
    let addr = view.row.addr;
    let body = html! {
        p { a href={ "/clusters/" (cluster) } { (visit.say(Text::Cluster)) " " (cluster) } }
        p { (text::badge(view.status.as_str(), text::server_status(visit.language, view.status))) }
        @if visit.may_on_cluster(Call::StartServer, cluster) {
            form .fields method="post" {
                (visit.form_field())
                input type="hidden" name="request_id" value=(Uuid::new_v4());
                input type="hidden" name="address" value=(addr);
                p { (visit.say(Text::StartWill)) }
                (reason_field(&visit, "start"))
                button .main { (visit.say(Text::StartAction)) " " (addr) }
            }
        }
    };
    Answer::page(format!("{} {addr}", visit.say(Text::StartAction)), body)
}

/// Records the task.
pub async fn start(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let asked = OnServer {
        cluster: visit.path.cluster("cluster")?,
        server: visit.path.server("server")?,
        request_id: visit.form.parsed::<Uuid>("request_id", "a UUID")?,
        repeat_by_arguments: false,
        expected_server: visit.form.parsed::<ServerAddr>("address", "an address")?,
        begin: BeginRequest { not_before: None, queue: visit.form.get("queue").is_some() },
    };
    let stored = state.console.guarded.call(&with_reason(&visit)?, StartServer(asked)).await?;
    Ok(Answer::SeeOther(format!("/tasks/{}", stored.task.spec.id)))
}
