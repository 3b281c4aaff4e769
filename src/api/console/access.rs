//! Users, roles and keys, for whoever may read them. What somebody may not read is left out, and said to be.

use std::sync::Arc;

use maud::{Markup, html};

use crate::api::console::ConsoleState;
use crate::api::console::access_forms;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::text::{self, Text};
use crate::api::console::visit::Visit;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::RoleName;
use crate::domain::permission::Permission;
use crate::service::views::{AccessKeyView, RoleView, UserView};
use crate::service::{ListAccessKeys, ListRoles, ListUsers};

pub async fn page(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let (guarded, caller) = (&state.console.guarded, &visit.caller);
    let may = |call: Call| visit.may(call, Subject::Nothing, &[]);
    let users = if may(Call::ListUsers) { Some(guarded.call(caller, ListUsers).await?) } else { None };
    let roles = if may(Call::ListRoles) { Some(guarded.call(caller, ListRoles).await?) } else { None };
    let keys = guarded.call(caller, ListAccessKeys { user: None }).await?;
    let body = html! {
        @if let Some(users) = &users { h2 { (visit.say(Text::Users)) } (of_users(&state, &visit, users)) (access_forms::new_user(&visit)) }
        @if let Some(roles) = &roles { h2 { (visit.say(Text::Roles)) } (of_roles(&visit, roles)) (access_forms::new_role(&visit)) }
        @if users.is_none() || roles.is_none() { p .quiet { (visit.say(Text::NotAllShown)) } }
        @if users.is_none() { (access_forms::own_sessions(&visit)) }
        h2 { (visit.say(Text::Keys)) }
        @if keys.is_empty() { p { (visit.say(Text::NoKeys)) } } @else { (of_keys(&state, &visit, &keys)) }
    };
    Answer::page(visit.say(Text::Access), body)
}

fn table(visit: &Visit, name: Text, heads: &[Text], lines: Markup) -> Markup {
    html! {
        div .wide tabindex="0" role="region" aria-label=(visit.say(name)) {
            table {
                thead { tr { @for head in heads { th scope="col" { (visit.say(*head)) } } } }
                tbody { (lines) }
            }
        }
    }
}

fn of_users(state: &ConsoleState, visit: &Visit, users: &[UserView]) -> Markup {
    let lines = html! {
        @for UserView { row, .. } in users {
            tr {
                th scope="row" { (row.name) " " small { "#" (row.id) } }
                td { (enabled(visit, row.disabled)) }
                td { (joined(row.roles.iter().map(RoleName::to_string))) }
                td { (joined(row.certificate_names.iter().cloned())) }
                td { @if let Some(at) = row.password_time { (state.moments.show(at)) } @else { "–" } }
                td { (access_forms::of_user(visit, row)) }
            }
        }
    };
    let heads = [Text::User, Text::State, Text::Roles, Text::Certificates, Text::PasswordSet, Text::Change];
    table(visit, Text::Users, &heads, lines)
}

fn of_roles(visit: &Visit, roles: &[RoleView]) -> Markup {
    let lines = html! {
        @for role in roles {
            tr {
                th scope="row" { (role.name) }
                td { code { (joined(role.permissions.iter().map(Permission::to_string))) } }
                td { (access_forms::of_role(visit, &role.name, role.create_time.is_none())) }
            }
        }
    };
    table(visit, Text::Roles, &[Text::Role, Text::Permissions, Text::Change], lines)
}

fn of_keys(state: &ConsoleState, visit: &Visit, keys: &[AccessKeyView]) -> Markup {
    let lines = html! {
        @for AccessKeyView { row, user } in keys {
            tr {
                th scope="row" { code { (row.id) } }
                td { (user) }
                td { (enabled(visit, row.disabled)) }
                td { (state.moments.show(row.create_time)) }
                td { (state.moments.show(row.rotate_time)) }
                td { (access_forms::of_key(visit, row)) }
            }
        }
    };
    table(visit, Text::Keys, &[Text::Key, Text::User, Text::State, Text::Created, Text::Rotated, Text::Change], lines)
}

fn enabled(visit: &Visit, disabled: bool) -> Markup {
    let (word, text) = if disabled { ("FAILED", Text::Disabled) } else { ("SUCCESSFUL", Text::Enabled) };
    text::badge(word, visit.say(text))
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
