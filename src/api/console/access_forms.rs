//! What may be changed of users, roles and keys: the forms beside what they change, for whoever may, and what comes of them. The
//! secret of a key is on the page that answers, and nowhere else ever.

use std::sync::Arc;

use maud::{Markup, html};
use secrecy::{ExposeSecret, SecretString};

use crate::api::console::ConsoleState;
use crate::api::console::answer::{Answer, Problem};
use crate::api::console::fields::Fields;
use crate::api::console::text::Text;
use crate::api::console::visit::Visit;
use crate::domain::call::{Call, Subject};
use crate::domain::ids::{AccessKeyId, Principal, RoleName};
use crate::domain::permission::Permission;
use crate::domain::refusal::Refusal;
use crate::service::views::AccessKeyView;
use crate::service::{
    CreateAccessKey, CreateRole, CreateUser, DeleteRole, EndSessions, Ended, RotateAccessKey, SetPassword,
    UpdateAccessKey, UpdateUser,
};
use crate::store::access::{AccessKeyRow, UserRow};

/// What a form asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    CreateUser,
    EnableUser,
    DisableUser,
    SetRoles,
    SetCertificates,
    SetPassword,
    EndSessions,
    CreateRole,
    DeleteRole,
    CreateKey,
    EnableKey,
    DisableKey,
    RotateKey,
}

impl Act {
    const ALL: [Self; 13] = [
        Self::CreateUser,
        Self::EnableUser,
        Self::DisableUser,
        Self::SetRoles,
        Self::SetCertificates,
        Self::SetPassword,
        Self::EndSessions,
        Self::CreateRole,
        Self::DeleteRole,
        Self::CreateKey,
        Self::EnableKey,
        Self::DisableKey,
        Self::RotateKey,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::CreateUser => "create-user",
            Self::EnableUser => "enable-user",
            Self::DisableUser => "disable-user",
            Self::SetRoles => "set-roles",
            Self::SetCertificates => "set-certificates",
            Self::SetPassword => "set-password",
            Self::EndSessions => "end-sessions",
            Self::CreateRole => "create-role",
            Self::DeleteRole => "delete-role",
            Self::CreateKey => "create-key",
            Self::EnableKey => "enable-key",
            Self::DisableKey => "disable-key",
            Self::RotateKey => "rotate-key",
        }
    }

    const fn text(self) -> Text {
        match self {
            Self::CreateUser => Text::CreateUser,
            Self::EnableUser | Self::EnableKey => Text::Enable,
            Self::DisableUser | Self::DisableKey => Text::Disable,
            Self::SetRoles => Text::SetRoles,
            Self::SetCertificates => Text::SetCertificates,
            Self::SetPassword => Text::SetPassword,
            Self::EndSessions => Text::EndSessions,
            Self::CreateRole => Text::CreateRole,
            Self::DeleteRole => Text::Delete,
            Self::CreateKey => Text::CreateKey,
            Self::RotateKey => Text::RotateKey,
        }
    }
}

/// Does what a form asks for.
pub async fn change(state: Arc<ConsoleState>, visit: Arc<Visit>) -> Result<Answer, Problem> {
    let (form, caller, guarded) = (&visit.form, &visit.caller, &state.console.guarded);
    let word = form.get("act").unwrap_or_default();
    let act = Act::ALL.into_iter().find(|act| act.word() == word);
    match act.ok_or_else(|| Refusal::field("act", "is not known"))? {
        Act::CreateUser => {
            let (name, password, roles) = (user(form)?, password(form), roles(form)?);
            let certificate_names = certificates(form)?;
            guarded.call(caller, CreateUser { name, password, roles, certificate_names }).await?;
        }
        Act::EnableUser => drop(guarded.call(caller, disabled(form, false)?).await?),
        Act::DisableUser => drop(guarded.call(caller, disabled(form, true)?).await?),
        Act::SetRoles => {
            let roles = Some(roles(form)?);
            let call = UpdateUser { name: user(form)?, roles, certificate_names: None, disabled: None };
            guarded.call(caller, call).await?;
        }
        Act::SetCertificates => {
            let certificate_names = Some(certificates(form)?);
            let call = UpdateUser { name: user(form)?, roles: None, certificate_names, disabled: None };
            guarded.call(caller, call).await?;
        }
        Act::SetPassword => {
            let password = password(form).ok_or_else(|| Refusal::field("password", "is missing"))?;
            guarded.call(caller, SetPassword { name: user(form)?, password }).await?;
        }
        Act::EndSessions => guarded.call(caller, EndSessions { name: user(form)?, ended: Ended::All }).await?,
        Act::CreateRole => {
            let read = |text: &str| text.parse::<Permission>().map_err(|wrong| wrong.to_string());
            let permissions = sorted("permissions", form.get("permissions").unwrap_or_default(), read)?;
            guarded.call(caller, CreateRole { name: role(form)?, permissions }).await?;
        }
        Act::DeleteRole => guarded.call(caller, DeleteRole(role(form)?)).await?,
        Act::CreateKey => {
            let user = form.parsed::<Principal>("user", "a user name")?;
            return secret(&visit, &guarded.call(caller, CreateAccessKey { user }).await?);
        }
        Act::EnableKey => drop(guarded.call(caller, UpdateAccessKey { id: key(form)?, disabled: false }).await?),
        Act::DisableKey => drop(guarded.call(caller, UpdateAccessKey { id: key(form)?, disabled: true }).await?),
        Act::RotateKey => return secret(&visit, &guarded.call(caller, RotateAccessKey(key(form)?)).await?),
    }
    Ok(Answer::SeeOther("/access".to_owned()))
}

/// What may be changed of a user.
pub fn of_user(visit: &Visit, row: &UserRow) -> Markup {
    let subject = Subject::User { user: Some(row.id.get()), own: visit.caller.user == Some(row.id) };
    let may = |call: Call| visit.may(call, subject, &[]);
    let hidden = [("user", row.name.to_string())];
    let roles = row.roles.iter().map(RoleName::to_string).collect::<Vec<_>>().join(" ");
    let id = row.id;
    html! {
        @if may(Call::UpdateUser) {
            (form(visit, if row.disabled { Act::EnableUser } else { Act::DisableUser }, &hidden, html! {}))
            details id={ "roles-" (id) } {
                summary { (visit.say(Text::SetRoles)) }
                (form(visit, Act::SetRoles, &hidden, html! {
                    input id={ "roles-of-" (id) } name="roles" value=(roles) aria-label=(visit.say(Text::Roles));
                }))
            }
            details id={ "certificates-" (id) } {
                summary { (visit.say(Text::SetCertificates)) }
                (form(visit, Act::SetCertificates, &hidden, html! {
                    input id={ "certificates-of-" (id) } name="certificates" value=(row.certificate_names.join(" ")) aria-label=(visit.say(Text::Certificates));
                }))
            }
        }
        @if may(Call::SetPassword) {
            details id={ "password-" (id) } {
                summary { (visit.say(Text::SetPassword)) }
                (form(visit, Act::SetPassword, &hidden, html! {
                    input type="password" name="password" required autocomplete="new-password" aria-label=(visit.say(Text::Password));
                }))
            }
        }
        @if may(Call::EndSessions) { (form(visit, Act::EndSessions, &hidden, html! {})) }
        @if may(Call::CreateAccessKey) { (form(visit, Act::CreateKey, &hidden, html! {})) }
    }
}

/// The end of the caller's own sessions; nothing for one without.
pub fn own_sessions(visit: &Visit) -> Markup {
    let hidden = [("user", visit.caller.principal.to_string())];
    html! { @if visit.session.is_some() { (form(visit, Act::EndSessions, &hidden, html! {})) } }
}

pub fn new_user(visit: &Visit) -> Markup {
    if !visit.may(Call::CreateUser, Subject::Nothing, &[]) {
        return html! {};
    }
    let field = |name: &'static str, text: Text, kind: &'static str| {
        html! { label { (visit.say(text)) " " input type=(kind) name=(name) autocomplete="new-password"; } }
    };
    html! {
        details #new-user {
            summary { (visit.say(Text::CreateUser)) }
            (form(visit, Act::CreateUser, &[], html! {
                (field("user", Text::User, "text")) (field("password", Text::Password, "password"))
                (field("roles", Text::Roles, "text")) (field("certificates", Text::Certificates, "text"))
            }))
        }
    }
}

/// Those that are always there cannot be deleted, which the service says.
pub fn of_role(visit: &Visit, name: &RoleName, built_in: bool) -> Markup {
    let may = !built_in && visit.may(Call::DeleteRole, Subject::Nothing, &[]);
    html! { @if may { (form(visit, Act::DeleteRole, &[("role", name.to_string())], html! {})) } }
}

pub fn new_role(visit: &Visit) -> Markup {
    if !visit.may(Call::CreateRole, Subject::Nothing, &[]) {
        return html! {};
    }
    html! {
        details #new-role {
            summary { (visit.say(Text::CreateRole)) }
            (form(visit, Act::CreateRole, &[], html! {
                label { (visit.say(Text::Role)) " " input name="role" required; }
                label { (visit.say(Text::Permissions)) " " input name="permissions" required placeholder="CLUSTER:1:READ TASK:*:READ"; }
            }))
        }
    }
}

/// What may be changed of a key.
pub fn of_key(visit: &Visit, row: &AccessKeyRow) -> Markup {
    let subject = Subject::User { user: Some(row.user.get()), own: visit.caller.user == Some(row.user) };
    let hidden = [("key", row.id.to_string())];
    html! {
        @if visit.may(Call::UpdateAccessKey, subject, &[]) {
            (form(visit, if row.disabled { Act::EnableKey } else { Act::DisableKey }, &hidden, html! {}))
        }
        @if visit.may(Call::RotateAccessKey, subject, &[]) { (form(visit, Act::RotateKey, &hidden, html! {})) }
    }
}

fn form(visit: &Visit, act: Act, hidden: &[(&str, String)], fields: Markup) -> Markup {
    html! {
        form .filters method="post" action="/access" {
            (visit.form_field())
            input type="hidden" name="act" value=(act.word());
            @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
            (fields)
            button { (visit.say(act.text())) }
        }
    }
}

fn secret(visit: &Visit, key: &AccessKeyView) -> Result<Answer, Problem> {
    let body = html! {
        p .warning { (visit.say(Text::SecretOnce)) }
        dl .facts {
            dt { (visit.say(Text::User)) } dd { (key.user) }
            dt { (visit.say(Text::Key)) } dd { code { (key.row.id) } }
            dt { (visit.say(Text::Secret)) } dd { code { (key.row.secret.expose_secret()) } }
        }
        p { a href="/access" { (visit.say(Text::Access)) } }
    };
    Answer::page(visit.say(Text::Key), body)
}

fn user(form: &Fields) -> Result<Principal, Refusal> {
    form.parsed("user", "a user name")?.ok_or_else(|| Refusal::field("user", "is missing"))
}

fn role(form: &Fields) -> Result<RoleName, Refusal> {
    form.parsed("role", "a role name")?.ok_or_else(|| Refusal::field("role", "is missing"))
}

fn key(form: &Fields) -> Result<AccessKeyId, Refusal> {
    form.parsed("key", "the id of an access key")?.ok_or_else(|| Refusal::field("key", "is missing"))
}

/// Blanks around it belong to it.
fn password(form: &Fields) -> Option<SecretString> {
    form.exact("password").filter(|password| !password.is_empty()).map(SecretString::from)
}

fn disabled(form: &Fields, disabled: bool) -> Result<UpdateUser, Refusal> {
    Ok(UpdateUser { name: user(form)?, roles: None, certificate_names: None, disabled: Some(disabled) })
}

fn certificates(form: &Fields) -> Result<Vec<String>, Refusal> {
    sorted("certificates", form.get("certificates").unwrap_or_default(), |name| Ok(name.to_owned()))
}

fn roles(form: &Fields) -> Result<Vec<RoleName>, Refusal> {
    let read = |text: &str| text.parse::<RoleName>().map_err(|wrong| wrong.to_string());
    sorted("roles", form.get("roles").unwrap_or_default(), read)
}

/// What stands between blanks and commas, ascending and without repeats.
fn sorted<T: Ord>(field: &str, text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Refusal> {
    let words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
    let mut items = words
        .map(|word| read(word).map_err(|wrong| Refusal::field(field, wrong)))
        .collect::<Result<Vec<T>, Refusal>>()?;
    items.sort_unstable();
    items.dedup();
    Ok(items)
}
