//! `obsteward key`: access keys, with which programs sign their requests
//! (docs/ocp-v2.md#signature-with-an-access-key). A key has exactly its user's rights; its secret is shown once.

use clap::{Args, Subcommand};

use super::client::{Client, READ_TIMEOUT};
use super::exit::Exit;
use super::failure::Failure;
use super::listed::Listed;
use super::output::{Format, Output};
use super::pages;
use super::table::{Table, fields};
use super::times;
use crate::domain::ids::{AccessKeyId, Principal};
use crate::proto::json::Json;
use crate::proto::v1;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an access key and show its secret, this once
    Create(UserArgs),
    /// List access keys, without their secrets
    List(UserArgs),
    /// Let a key prove nothing any more
    Disable(KeyArgs),
    /// Let a disabled key prove its user again
    Enable(KeyArgs),
    /// Give a key another secret and show it, this once; the old one proves nothing from then on
    Rotate(KeyArgs),
}

impl KeyCommand {
    pub const fn changes(&self) -> bool {
        match self {
            Self::Create(_) | Self::Disable(_) | Self::Enable(_) | Self::Rotate(_) => true,
            Self::List(_) => false,
        }
    }
}

/// Whose keys.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// Name of the key's user [default: who calls; list: everybody's that may be seen]
    #[arg(value_name = "NAME", value_parser = clap::value_parser!(Principal))]
    name: Option<Principal>,
}

impl UserArgs {
    fn user(self) -> String {
        self.name.map(|name| name.to_string()).unwrap_or_default()
    }
}

/// A key by its id.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Id of the access key
    #[arg(value_name = "KEY_ID", value_parser = clap::value_parser!(AccessKeyId))]
    id: AccessKeyId,
}

pub async fn run(command: KeyCommand, client: &Client, output: &Output) -> Result<Exit, Failure> {
    match command {
        KeyCommand::Create(args) => {
            let request = v1::CreateAccessKeyRequest { user: args.user(), reason: client.reason() };
            let made =
                client.change("create access key", READ_TIMEOUT, client.admin().create_access_key(request)).await?;
            print_secret(made.access_key, &made.secret, output)
        }
        KeyCommand::List(args) => list(args, client, output).await,
        KeyCommand::Disable(args) => switch(&args.id, true, client, output).await,
        KeyCommand::Enable(args) => switch(&args.id, false, client, output).await,
        KeyCommand::Rotate(args) => {
            let request = v1::RotateAccessKeyRequest { id: args.id.to_string(), reason: client.reason() };
            let made =
                client.change("rotate access key", READ_TIMEOUT, client.admin().rotate_access_key(request)).await?;
            print_secret(made.access_key, &made.secret, output)
        }
    }
}

async fn list(args: UserArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let user = args.user();
    let keys = pages::all(async |page_size, page_token| {
        let request = v1::ListAccessKeysRequest { user: user.clone(), page_size, page_token };
        let page = client.call("list access keys", READ_TIMEOUT, client.admin().list_access_keys(request)).await?;
        Ok((page.access_keys, page.next_page_token))
    });
    Listed::whole("access_keys", &keys.await?).show(output, table)
}

async fn switch(id: &AccessKeyId, disabled: bool, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let request = v1::UpdateAccessKeyRequest { id: id.to_string(), disabled, reason: client.reason() };
    let doing = if disabled { "disable access key" } else { "enable access key" };
    let key = client.change(doing, READ_TIMEOUT, client.admin().update_access_key(request)).await?.access_key;
    let key = key_of(key)?;
    match output.format {
        Format::Text => output.lines(details(&key, ""))?,
        Format::Json => output.document(&Json(&key))?,
    }
    Ok(Exit::Done)
}

fn print_secret(key: Option<v1::AccessKey>, secret: &str, output: &Output) -> Result<Exit, Failure> {
    let key = key_of(key)?;
    match output.format {
        Format::Text => {
            output.lines(details(&key, secret))?;
            output.note("the secret is shown this once; keep it where only the program that signs with it can read it");
        }
        Format::Json => {
            let made = v1::CreateAccessKeyResponse { access_key: Some(key), secret: secret.to_owned() };
            output.document(&Json(&made))?;
        }
    }
    Ok(Exit::Done)
}

fn key_of(key: Option<v1::AccessKey>) -> Result<v1::AccessKey, Failure> {
    key.ok_or_else(|| Failure::Unknown("the server answered without an access key, see: obsteward key list".to_owned()))
}

fn details(key: &v1::AccessKey, secret: &str) -> Vec<String> {
    fields(&[
        ("access key", key.id.clone()),
        ("secret", secret.to_owned()),
        ("user", key.user.clone()),
        ("state", state(key).to_owned()),
        ("made at", times::shown(key.create_time.as_ref())),
        ("secret of", times::shown(key.rotate_time.as_ref())),
    ])
}

fn table(keys: &[v1::AccessKey]) -> Table {
    let mut table = Table::new(&["ID", "USER", "STATE", "MADE", "SECRET OF"]);
    for key in keys {
        table.row([
            key.id.clone(),
            key.user.clone(),
            state(key).to_owned(),
            times::shown(key.create_time.as_ref()),
            times::shown(key.rotate_time.as_ref()),
        ]);
    }
    table
}

const fn state(key: &v1::AccessKey) -> &'static str {
    if key.disabled { "disabled" } else { "enabled" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::Paint;

    fn key() -> v1::AccessKey {
        v1::AccessKey { id: "AK01234567".to_owned(), user: "bob".to_owned(), disabled: true, ..Default::default() }
    }

    #[test]
    fn a_list_has_no_place_for_secrets() {
        assert_eq!(
            table(&[key()]).lines(Paint::Plain),
            ["ID          USER  STATE     MADE  SECRET OF", "AK01234567  bob   disabled  -     -"]
        );
        assert!(!details(&key(), "").join("\n").contains("secret:"));
    }

    #[test]
    fn a_new_secret_is_data_and_what_to_do_with_it_is_not() {
        let output = Output::memory(Format::Text);
        print_secret(Some(key()), "s3cr3t", &output).unwrap();
        let (data, notes) = output.written();
        assert!(data.lines().any(|line| line == "secret:      s3cr3t"), "{data}");
        assert!(notes.contains("this once") && !notes.contains("s3cr3t"), "{notes}");
        let output = Output::memory(Format::Json);
        print_secret(Some(key()), "s3cr3t", &output).unwrap();
        let document: serde_json::Value = serde_json::from_str(&output.written().0).unwrap();
        assert_eq!((&document["secret"], &document["access_key"]["id"]), (&"s3cr3t".into(), &"AK01234567".into()));
        assert!(matches!(print_secret(None, "s", &output), Err(Failure::Unknown(_))));
    }
}
