//! Clusters are registered, their endpoints, login and ways to hosts changed, read anew, and forgotten. A password is written and
//! never shown. What is filled in is read as the request of the API is.

use std::sync::Arc;

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::asking::made;
use crate::api::console::fields::Fields;
use crate::api::console::text::Text;
use crate::api::console::verbs::reason_field;
use crate::api::console::visit::Visit;
use crate::api::grpc::validate_cluster::{self, DEFAULT_USERNAME};
use crate::api::host_words::{default_host_words, host_words, parse_default_host, parse_host, parse_server_id};
use crate::domain::call::{Call, Subject};
use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::service::views::ClusterView;
use crate::service::{DeregisterCluster, GetCluster, SyncCluster};

pub async fn new_page(_: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let body = html! {
        p { (visit.say(Text::RegisterWill)) }
        @if visit.may(Call::RegisterCluster, Subject::Nothing, &[]) { (registering(&visit)) }
    };
    Answer::page(visit.say(Text::Register), body)
}

pub async fn register(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let asked = registration(&visit.form).and_then(validate_cluster::register_cluster);
    let view = made(&state, &visit, asked).await?;
    Ok(Answer::SeeOther(format!("/clusters/{}", view.row.id)))
}

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let id = visit.path.cluster("cluster")?;
    let view = state.console.guarded.call(&visit.caller, GetCluster::Id(id)).await?;
    let may = |call: Call| visit.may_on_cluster(call, id);
    let name = &view.row.identity.name;
    let body = html! {
        p { a href={ "/clusters/" (id) } { (visit.say(Text::Cluster)) " " (id) } }
        @if may(Call::SyncCluster) {
            form .fields method="post" {
                (visit.form_field())
                input type="hidden" name="act" value=(Act::Sync.word());
                (reason_field(&visit, "sync"))
                button { (visit.say(Text::ReadNow)) }
            }
        }
        @if may(Call::UpdateCluster) { h2 { (visit.say(Text::Change)) } (changing(&visit, &view)) }
        @if may(Call::DeregisterCluster) {
            h2 { (visit.say(Text::Deregister)) }
            form .fields method="post" {
                (visit.form_field())
                input type="hidden" name="act" value=(Act::Deregister.word());
                p { (visit.say(Text::DeregisterWill)) }
                label for="name" { (visit.say(Text::TypeName)) " " code { (name) } }
                input #name name="name" required autocomplete="off" spellcheck="false";
                (reason_field(&visit, "deregister"))
                button .danger { (visit.say(Text::Deregister)) " " (name) }
            }
        }
    };
    Answer::page(format!("{} {name}", visit.say(Text::Settings)), body)
}

/// What a form of that page asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Update,
    Sync,
    Deregister,
}

impl Act {
    const ALL: [Self; 3] = [Self::Update, Self::Sync, Self::Deregister];

    const fn word(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Sync => "sync",
            Self::Deregister => "deregister",
        }
    }
}

pub async fn change(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let (id, form) = (visit.path.cluster("cluster")?, &visit.form);
    let word = form.get("act").unwrap_or_default();
    let act = Act::ALL.into_iter().find(|act| act.word() == word);
    let view = async || state.console.guarded.call(&visit.caller, GetCluster::Id(id)).await;
    match act.ok_or_else(|| Refusal::field("act", "is not known"))? {
        Act::Update => {
            let asked = changed(&view().await?, form).and_then(validate_cluster::update_cluster);
            drop(made(&state, &visit, asked).await?);
        }
        Act::Sync => drop(made(&state, &visit, Ok(SyncCluster(id))).await?),
        Act::Deregister => {
            let typed = form.get("name").unwrap_or_default();
            let asked = match typed == view().await?.row.identity.name {
                true => Ok(DeregisterCluster(id)),
                false => Err(Refusal::field("name", "is not the name of the cluster, type it as it is shown")),
            };
            made(&state, &visit, asked).await?;
            return Ok(Answer::SeeOther("/".to_owned()));
        }
    }
    Ok(Answer::SeeOther(format!("/clusters/{id}")))
}

/// The link to a new one, for whoever may.
pub fn link(visit: &Visit) -> Markup {
    html! {
        @if visit.may(Call::RegisterCluster, Subject::Nothing, &[]) {
            p { a href="/clusters/register" { (visit.say(Text::Register)) "…" } }
        }
    }
}

fn registering(visit: &Visit) -> Markup {
    html! {
        form .fields method="post" {
            (visit.form_field())
            (area(visit, Text::Endpoints, "endpoints", "", "10.0.0.2:2881"))
            (line(visit, Text::Login, "username", DEFAULT_USERNAME, ""))
            (password(visit))
            (line(visit, Text::ExpectedName, "expected_name", "", ""))
            (line(visit, Text::ChosenId, "cluster_id", "", ""))
            (area(visit, Text::ServerIds, "server_ids", "", "10.0.0.2:2882=17"))
            (ways(visit, "", ""))
            (reason_field(visit, "register"))
            button .main { (visit.say(Text::Register)) }
        }
    }
}

fn changing(visit: &Visit, view: &ClusterView) -> Markup {
    let row = &view.row;
    html! {
        form .fields method="post" {
            (visit.form_field())
            input type="hidden" name="act" value=(Act::Update.word());
            (area(visit, Text::Endpoints, "endpoints", &row.endpoints.join("\n"), ""))
            (line(visit, Text::Login, "username", &row.username, ""))
            (password(visit))
            p .quiet { (visit.say(Text::PasswordStays)) }
            (ways(visit, &default_host_words(&row.default_host), &hosts_words(view)))
            (reason_field(visit, "update"))
            button .main { (visit.say(Text::Change)) }
        }
    }
}

fn ways(visit: &Visit, default_host: &str, hosts: &str) -> Markup {
    html! {
        (line(visit, Text::DefaultHost, "default_host", default_host, "grpc:7001, ssh:admin@:22, local"))
        (area(visit, Text::Hosts, "hosts", hosts, "10.0.0.2=grpc:10.0.0.2:7001"))
    }
}

fn line(visit: &Visit, text: Text, name: &str, value: &str, example: &str) -> Markup {
    html! {
        label for=(name) { (visit.say(text)) }
        input id=(name) name=(name) value=(value) placeholder=(example) autocomplete="off" spellcheck="false";
    }
}

/// One of them in a line.
fn area(visit: &Visit, text: Text, name: &str, value: &str, example: &str) -> Markup {
    html! {
        label for=(name) { (visit.say(text)) }
        textarea id=(name) name=(name) rows="3" placeholder=(example) autocomplete="off" spellcheck="false" { (value) }
    }
}

fn password(visit: &Visit) -> Markup {
    html! {
        label for="password" { (visit.say(Text::Password)) }
        input #password type="password" name="password" autocomplete="new-password";
    }
}

fn hosts_words(view: &ClusterView) -> String {
    let words = view.hosts.iter().map(|(svr_ip, route)| host_words(svr_ip, route));
    words.collect::<Vec<_>>().join("\n")
}

/// What stands in lines, or between blanks.
fn words<'a>(form: &'a Fields, name: &str) -> impl Iterator<Item = &'a str> {
    form.get(name).unwrap_or_default().split_whitespace()
}

fn each<T>(form: &Fields, name: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Refusal> {
    words(form, name).map(|word| read(word).map_err(|wrong| Refusal::field(name, wrong))).collect()
}

fn default_host(form: &Fields) -> Result<Option<v1::DefaultHost>, Refusal> {
    let given = form.get("default_host").map(parse_default_host).transpose();
    given.map_err(|wrong| Refusal::field("default_host", wrong))
}

fn registration(form: &Fields) -> Result<v1::RegisterClusterRequest, Refusal> {
    Ok(v1::RegisterClusterRequest {
        endpoints: words(form, "endpoints").map(str::to_owned).collect(),
        username: form.get("username").unwrap_or_default().to_owned(),
        password: form.exact("password").unwrap_or_default().to_owned(),
        expected_name: form.get("expected_name").unwrap_or_default().to_owned(),
        cluster_id: form.parsed("cluster_id", "an id")?,
        server_ids: each(form, "server_ids", parse_server_id)?,
        hosts: each(form, "hosts", parse_host)?,
        default_host: default_host(form)?,
        // It is read from the form for every call alike.
        reason: String::new(),
    })
}

/// What differs from what is recorded.
fn changed(view: &ClusterView, form: &Fields) -> Result<v1::UpdateClusterRequest, Refusal> {
    let row = &view.row;
    let endpoints: Vec<String> = words(form, "endpoints").map(str::to_owned).collect();
    let username = form.get("username").unwrap_or_default().to_owned();
    let password = form.exact("password").unwrap_or_default().to_owned();
    let hosts = words(form, "hosts").eq(hosts_words(view).split_whitespace());
    let default_host_stays = form.get("default_host").unwrap_or_default() == default_host_words(&row.default_host);
    let changes = [
        (endpoints != row.endpoints, "endpoints"),
        (username != row.username, "username"),
        (!password.is_empty(), "password"),
        (!hosts, "hosts"),
        (!default_host_stays, "default_host"),
    ];
    let paths: Vec<String> =
        changes.iter().filter(|(changes, _)| *changes).map(|(_, path)| (*path).to_owned()).collect();
    if paths.is_empty() {
        return Err(Refusal::field("act", "changes nothing: everything is as it is recorded"));
    }
    Ok(v1::UpdateClusterRequest {
        cluster_id: row.id.get(),
        endpoints,
        username,
        password,
        hosts: each(form, "hosts", parse_host)?,
        update_mask: Some(prost_types::FieldMask { paths }),
        default_host: default_host(form)?,
        reason: String::new(),
    })
}
