//! `obsteward role`: what roles permit. Permissions are written as OCP writes them, `DOMAIN:id:ACTION`.

use clap::{Args, Subcommand};

use super::client::{Client, READ_TIMEOUT};
use super::exit::Exit;
use super::failure::Failure;
use super::listed::Listed;
use super::output::{Format, Output};
use super::pages;
use super::table::{Table, fields};
use super::times;
use crate::domain::ids::RoleName;
use crate::domain::permission::Permission;
use crate::proto::json::Json;
use crate::proto::v1;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Make a role
    Create(CreateArgs),
    /// List the roles, those that are always there first
    List,
    /// Remove a role that no user has
    Delete(DeleteArgs),
}

impl RoleCommand {
    pub const fn changes(&self) -> bool {
        match self {
            Self::Create(_) | Self::Delete(_) => true,
            Self::List => false,
        }
    }
}

/// Arguments of `role create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the role: capital letters, digits and _
    #[arg(value_name = "NAME", value_parser = clap::value_parser!(RoleName))]
    name: RoleName,
    /// What it permits: DOMAIN:id:ACTION, for example CLUSTER:7:UPDATE or 'TASK:*:READ'. Domains: CLUSTER, TASK, USER, AUDIT;
    /// actions: READ, CREATE, UPDATE (of a cluster: stop its servers), DELETE, FORCE (accept risks). * is any id or any
    /// action, except FORCE; ** is everything
    #[arg(value_name = "PERMISSION", required = true, value_parser = clap::value_parser!(Permission))]
    permissions: Vec<Permission>,
}

/// Arguments of `role delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the role
    #[arg(value_name = "NAME", value_parser = clap::value_parser!(RoleName))]
    name: RoleName,
}

pub async fn run(command: RoleCommand, client: &Client, output: &Output) -> Result<Exit, Failure> {
    match command {
        RoleCommand::Create(args) => {
            let permissions = args.permissions.iter().map(ToString::to_string).collect();
            let request = v1::CreateRoleRequest { name: args.name.to_string(), permissions, reason: client.reason() };
            let role = client.change("create role", READ_TIMEOUT, client.admin().create_role(request)).await?.role;
            let role = role.ok_or_else(|| Failure::Unknown("the server answered without a role".to_owned()))?;
            match output.format {
                Format::Text => output.lines(details(&role))?,
                Format::Json => output.document(&Json(&role))?,
            }
        }
        RoleCommand::List => return Listed::whole("roles", &all(client).await?).show(output, table),
        RoleCommand::Delete(args) => {
            let request = v1::DeleteRoleRequest { name: args.name.to_string(), reason: client.reason() };
            client.change("delete role", READ_TIMEOUT, client.admin().delete_role(request)).await?;
            match output.format {
                Format::Text => output.line(&format!("role {} is gone", args.name))?,
                Format::Json => {
                    output.document(&serde_json::json!({ "name": args.name.as_str(), "deleted": true }))?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

async fn all(client: &Client) -> Result<Vec<v1::Role>, Failure> {
    pages::all(async |page_size, page_token| {
        let request = v1::ListRolesRequest { page_size, page_token };
        let page = client.call("list roles", READ_TIMEOUT, client.admin().list_roles(request)).await?;
        Ok((page.roles, page.next_page_token))
    })
    .await
}

fn details(role: &v1::Role) -> Vec<String> {
    fields(&[
        ("role", role.name.clone()),
        ("permits", role.permissions.join(", ")),
        ("made at", times::shown(role.create_time.as_ref())),
    ])
}

fn table(roles: &[v1::Role]) -> Table {
    let mut table = Table::new(&["NAME", "MADE", "PERMITS"]);
    for role in roles {
        let made = if role.builtin { "always there".to_owned() } else { times::shown(role.create_time.as_ref()) };
        table.row([role.name.clone(), made, role.permissions.join(", ")]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::Paint;

    #[test]
    fn one_line_per_role() {
        let role = |name: &str, builtin, permissions: &[&str]| v1::Role {
            name: name.to_owned(),
            permissions: permissions.iter().map(|permission| (*permission).to_owned()).collect(),
            builtin,
            create_time: (!builtin).then_some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 }),
        };
        assert_eq!(
            table(&[role("ADMIN", true, &["**"]), role("STOPPER", false, &["CLUSTER:7:READ", "CLUSTER:7:UPDATE"])])
                .lines(Paint::Plain),
            [
                "NAME     MADE                      PERMITS",
                "ADMIN    always there              **",
                "STOPPER  2026-01-02T03:04:05.678Z  CLUSTER:7:READ, CLUSTER:7:UPDATE",
            ]
        );
    }
}
