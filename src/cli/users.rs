//! `obsteward user`: who may call. A user is a person or a program; its roles say what it may do.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use super::client::{Client, READ_TIMEOUT};
use super::exit::Exit;
use super::failure::Failure;
use super::listed::Listed;
use super::output::{Format, Output};
use super::pages;
use super::secret;
use super::table::{Table, fields};
use super::times;
use crate::domain::ids::{Principal, RoleName};
use crate::proto::json::Json;
use crate::proto::v1;

/// Variable that may carry the password that a user is given.
const VARIABLE: &str = "OBSTEWARD_NEW_PASSWORD";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user
    Create(CreateArgs),
    /// List the users
    List,
    /// Show a user and what it may do
    Show(NameArgs),
    /// Give a user other roles or certificate names
    Update(UpdateArgs),
    /// Let a user prove nothing any more, nor its keys; its watches end within 15 seconds
    Disable(NameArgs),
    /// Let a disabled user in again
    Enable(NameArgs),
    /// Give a user another password; the old one proves nothing from then on
    Rotate(RotateArgs),
}

impl UserCommand {
    pub const fn changes(&self) -> bool {
        match self {
            Self::Create(_) | Self::Update(_) | Self::Disable(_) | Self::Enable(_) | Self::Rotate(_) => true,
            Self::List | Self::Show(_) => false,
        }
    }
}

/// A user by name.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Name of the user
    #[arg(value_name = "NAME", value_parser = clap::value_parser!(Principal))]
    name: Principal,
}

/// Arguments of `user create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    user: NameArgs,
    /// Role of the user; may be given more than once (see: obsteward role list)
    #[arg(long = "role", value_name = "ROLE", value_parser = clap::value_parser!(RoleName))]
    roles: Vec<RoleName>,
    /// Subject alternative name of a client certificate that proves the user, for example DNS:ops.example.com; may be given
    /// more than once
    #[arg(long = "certificate", value_name = "NAME")]
    certificates: Vec<String>,
    #[command(flatten)]
    password: NewPassword,
    /// The user cannot log in by password, only by certificate or access key
    #[arg(long, conflicts_with = "new_password_file")]
    no_password: bool,
}

/// Arguments of `user update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    user: NameArgs,
    /// Role of the user, in place of all that it had; may be given more than once
    #[arg(long = "role", value_name = "ROLE", value_parser = clap::value_parser!(RoleName))]
    roles: Vec<RoleName>,
    /// Take all roles from the user
    #[arg(long, conflicts_with = "roles")]
    no_roles: bool,
    /// Certificate name of the user, in place of all that were there; may be given more than once
    #[arg(long = "certificate", value_name = "NAME")]
    certificates: Vec<String>,
    /// Take all certificate names from the user
    #[arg(long, conflicts_with = "certificates")]
    no_certificates: bool,
}

/// Arguments of `user rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    user: NameArgs,
    #[command(flatten)]
    password: NewPassword,
}

/// Where the password comes from that a user is given.
#[derive(Debug, Args)]
struct NewPassword {
    /// File with the password that the user is given, - for standard input [default: $OBSTEWARD_NEW_PASSWORD, or the
    /// terminal]
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

impl NewPassword {
    fn read(&self, user: &Principal) -> Result<SecretString, Failure> {
        const WAYS: &str = "give --new-password-file FILE, set $OBSTEWARD_NEW_PASSWORD or use a terminal";
        let given = match &self.new_password_file {
            Some(file) => Some(secret::from_file(file, "it must hold the password that the user is given")?),
            None => secret::from_variable(VARIABLE, "give --new-password-file FILE instead")?,
        };
        match given {
            Some(password) if password.expose_secret().is_empty() => {
                Err(Failure::Usage(format!("${VARIABLE} is empty, {WAYS}")))
            }
            Some(password) => Ok(password),
            None => ask_twice(user)?.ok_or_else(|| Failure::Usage(format!("no password for {user}, {WAYS}"))),
        }
    }
}

/// Asked twice, because what is typed is not shown.
fn ask_twice(user: &Principal) -> Result<Option<SecretString>, Failure> {
    let Some(password) = secret::ask(&format!("new password of {user}"))? else { return Ok(None) };
    let again = secret::ask("the same again")?;
    match again {
        Some(again) if again.expose_secret() == password.expose_secret() => Ok(Some(password)),
        Some(_) | None => Err(Failure::Usage("the two passwords differ, nothing was done".to_owned())),
    }
}

pub async fn run(command: UserCommand, client: &Client, output: &Output) -> Result<Exit, Failure> {
    match command {
        UserCommand::Create(args) => create(args, client, output).await,
        UserCommand::List => list(client, output).await,
        UserCommand::Show(args) => show(&args.name, client, output).await,
        UserCommand::Update(args) => print(change(client, "update user", update(args)?).await?, output),
        UserCommand::Disable(args) => print(change(client, "disable user", switch(&args.name, true)).await?, output),
        UserCommand::Enable(args) => print(change(client, "enable user", switch(&args.name, false)).await?, output),
        UserCommand::Rotate(args) => rotate(args, client, output).await,
    }
}

async fn create(args: CreateArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let name = args.user.name;
    let password = if args.no_password { None } else { Some(args.password.read(&name)?) };
    let request = v1::CreateUserRequest {
        name: name.to_string(),
        password: password.map(|password| password.expose_secret().to_owned()).unwrap_or_default(),
        roles: args.roles.iter().map(ToString::to_string).collect(),
        certificate_names: args.certificates,
        reason: client.reason(),
    };
    print(client.change("create user", READ_TIMEOUT, client.admin().create_user(request)).await?.user, output)
}

async fn list(client: &Client, output: &Output) -> Result<Exit, Failure> {
    Listed::whole("users", &all(client).await?).show(output, table)
}

async fn show(name: &Principal, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let found = all(client).await?.into_iter().find(|user| user.name == name.as_str());
    let found = found
        .ok_or_else(|| Failure::Refused(format!("no user is named {name}, see the users with: obsteward user list")))?;
    print(Some(found), output)
}

async fn rotate(args: RotateArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let name = args.user.name;
    let password = args.password.read(&name)?.expose_secret().to_owned();
    let request = v1::SetPasswordRequest { name: name.to_string(), password, reason: client.reason() };
    client.change("set password", READ_TIMEOUT, client.admin().set_password(request)).await?;
    match output.format {
        Format::Text => output.line(&format!("user {name} has another password"))?,
        Format::Json => output.document(&serde_json::json!({ "name": name.as_str(), "password_set": true }))?,
    }
    Ok(Exit::Done)
}

async fn all(client: &Client) -> Result<Vec<v1::User>, Failure> {
    pages::all(async |page_size, page_token| {
        let request = v1::ListUsersRequest { page_size, page_token };
        let page = client.call("list users", READ_TIMEOUT, client.admin().list_users(request)).await?;
        Ok((page.users, page.next_page_token))
    })
    .await
}

async fn change(
    client: &Client,
    doing: &'static str,
    request: v1::UpdateUserRequest,
) -> Result<Option<v1::User>, Failure> {
    let request = v1::UpdateUserRequest { reason: client.reason(), ..request };
    Ok(client.change(doing, READ_TIMEOUT, client.admin().update_user(request)).await?.user)
}

fn switch(name: &Principal, disabled: bool) -> v1::UpdateUserRequest {
    v1::UpdateUserRequest { name: name.to_string(), disabled: Some(disabled), ..Default::default() }
}

/// What was not given stays as it is.
fn update(args: UpdateArgs) -> Result<v1::UpdateUserRequest, Failure> {
    let given = |names: Vec<String>, none: bool| (none || !names.is_empty()).then_some(names);
    let roles = given(args.roles.iter().map(ToString::to_string).collect(), args.no_roles);
    let certificates = given(args.certificates, args.no_certificates);
    if roles.is_none() && certificates.is_none() {
        return Err(Failure::Usage(
            "nothing to change, give --role, --no-roles, --certificate or --no-certificates".to_owned(),
        ));
    }
    Ok(v1::UpdateUserRequest {
        name: args.user.name.to_string(),
        roles: roles.map(|names| v1::RoleNames { names }),
        certificate_names: certificates.map(|names| v1::CertificateNames { names }),
        ..Default::default()
    })
}

fn print(user: Option<v1::User>, output: &Output) -> Result<Exit, Failure> {
    let user = user.ok_or_else(|| Failure::NoAnswer("the server answered without a user".to_owned()))?;
    match output.format {
        Format::Text => output.lines(details(&user))?,
        Format::Json => output.document(&Json(&user))?,
    }
    Ok(Exit::Done)
}

fn details(user: &v1::User) -> Vec<String> {
    fields(&[
        ("user", format!("{} {}", user.id, user.name)),
        ("state", state(user).to_owned()),
        ("roles", listed(&user.roles)),
        ("password", password(user)),
        ("certificates", user.certificate_names.join(", ")),
        ("made at", times::shown(user.create_time.as_ref())),
        ("may", listed(&user.permissions)),
    ])
}

fn table(users: &[v1::User]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "STATE", "PASSWORD", "ROLES", "CERTIFICATES"]).with_wide(&[
        "MADE",
        "PASSWORD SET",
        "MAY",
    ]);
    for user in users {
        table.row([
            user.id.to_string(),
            user.name.clone(),
            state(user).to_owned(),
            if user.has_password { "yes" } else { "no" }.to_owned(),
            listed(&user.roles),
            user.certificate_names.join(", "),
            times::shown(user.create_time.as_ref()),
            times::shown(user.password_time.as_ref()),
            listed(&user.permissions),
        ]);
    }
    table
}

const fn state(user: &v1::User) -> &'static str {
    if user.disabled { "disabled" } else { "enabled" }
}

fn password(user: &v1::User) -> String {
    if user.has_password { format!("set {}", times::shown(user.password_time.as_ref())) } else { "none".to_owned() }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed::parsed;
    use crate::cli::style::Paint;

    fn updated(line: &str) -> Result<v1::UpdateUserRequest, Failure> {
        update(parsed(&format!("bob {line}")))
    }

    fn user() -> v1::User {
        v1::User {
            id: 1001,
            name: "bob".to_owned(),
            roles: vec!["CLUSTER_VIEWER".to_owned(), "STOPPER".to_owned()],
            has_password: true,
            password_time: Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 }),
            permissions: vec!["CLUSTER:*:READ".to_owned()],
            ..Default::default()
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        let roles = updated("--role A --role B").unwrap();
        assert_eq!((roles.roles.unwrap().names, roles.certificate_names), (vec!["A".to_owned(), "B".to_owned()], None));
        let none = updated("--no-roles --no-certificates").unwrap();
        assert_eq!((none.roles.unwrap().names.len(), none.certificate_names.unwrap().names.len()), (0, 0));
        assert!(matches!(updated(""), Err(Failure::Usage(_))));
        let disabled = switch(&"bob".parse().unwrap(), true);
        assert_eq!((disabled.disabled, disabled.roles, disabled.certificate_names), (Some(true), None, None));
    }

    #[test]
    fn a_user_is_shown_with_what_it_may() {
        assert_eq!(
            table(&[user()]).lines(Paint::Plain),
            [
                "ID    NAME  STATE    PASSWORD  ROLES                    CERTIFICATES",
                "1001  bob   enabled  yes       CLUSTER_VIEWER, STOPPER",
            ]
        );
        let wide = table(&[user()]).wide_lines(Paint::Plain);
        assert!(wide[1].ends_with("  -     2026-01-02T03:04:05.678Z  CLUSTER:*:READ"), "{wide:?}");
        assert_eq!(
            details(&user()),
            [
                "user:      1001 bob",
                "state:     enabled",
                "roles:     CLUSTER_VIEWER, STOPPER",
                "password:  set 2026-01-02T03:04:05.678Z",
                "made at:   -",
                "may:       CLUSTER:*:READ",
            ]
        );
    }

    #[test]
    fn the_password_is_read_from_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "another one\n").unwrap();
        let given = NewPassword { new_password_file: Some(file) };
        assert_eq!(given.read(&"bob".parse().unwrap()).unwrap().expose_secret(), "another one");
    }
}
