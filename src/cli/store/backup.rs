//! `obsteward store backup`: asks the service for a copy of its store and writes it to a file on this machine. Under its own name
//! the file is whole, checked and on disk, or not there.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tonic::Status;

use crate::cli::client::{Client, READ_TIMEOUT};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::times;
use crate::proto::v1;
use crate::proto::v1::backup_store_response::Part;
use crate::store::sqlite::{check_backup, is_backup};

/// What is being done, for messages.
const DOING: &str = "back up the store";

/// Arguments of `store backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// File to write, on this machine
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the file if an earlier backup is there
    #[arg(long)]
    overwrite: bool,
}

pub async fn run(args: BackupArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let BackupArgs { file, overwrite } = args;
    if file.symlink_metadata().is_ok() {
        let shown = file.display();
        if !overwrite {
            return Err(Failure::Refused(format!("{shown} is there already, name another file or say --overwrite")));
        }
        // It may be the store itself, which its service would go on writing to without a name.
        let replaced = file.clone();
        if !tokio::task::spawn_blocking(move || is_backup(&replaced)).await.unwrap_or(false) {
            let said = "is there and is no backup, --overwrite replaces nothing else; name another file";
            return Err(Failure::Refused(format!("{shown} {said}")));
        }
    }
    let draft = Draft::beside(&file)?;
    let facts = receive(client, &draft).await?;
    let checking = (draft.0.clone(), facts.store_id.clone(), facts.seq);
    let checked = tokio::task::spawn_blocking(move || check_backup(&checking.0, &checking.1, checking.2)).await;
    checked
        .map_err(|error| local(&draft.0, &error))?
        .map_err(|error| Failure::Local(format!("what came is not what was sent, {error}; nothing was written")))?;
    draft.become_file(&file, overwrite)?;
    match output.format {
        Format::Text => {
            output.line(&format!(
                "{} holds store {} up to event {}, of {} ({} bytes, checked)",
                file.display(),
                facts.store_id,
                facts.seq,
                times::shown(facts.create_time.as_ref()),
                facts.bytes
            ))?;
            output.note(
                "the key of its secrets is not in it: keep the service's key file (or OBSTEWARD_STORE_KEY) too, elsewhere\n\
                 to restore it: end the service, put the file in the store's place without -wal and -shm, run \
                 `obsteward store restored`",
            );
        }
        Format::Json => output.document(&json!({
            "file": file.display().to_string(),
            "store_id": facts.store_id,
            "seq": facts.seq,
            "bytes": facts.bytes,
            "create_time": times::shown(facts.create_time.as_ref()),
            "key_included": false,
        }))?,
    }
    Ok(Exit::Done)
}

/// Writes what the service sends, and returns its description.
async fn receive(client: &Client, draft: &Draft) -> Result<v1::StoreBackup, Failure> {
    let mut file = OpenOptions::new().append(true).open(&draft.0).map_err(|error| local(&draft.0, &error))?;
    // The answer begins when the copy is made and checked, which takes as long as the store is large; it is not waited for
    // longer than the connection lives.
    let failed = |status| client.failure(DOING, status);
    let mut parts = client
        .admin()
        .backup_store(v1::BackupStoreRequest { reason: client.reason() })
        .await
        .map_err(failed)?
        .into_inner();
    let first = client.call(DOING, READ_TIMEOUT, async { parts.message().await.map(tonic::Response::new) }).await?;
    let Some(Part::Backup(facts)) = first.and_then(|response| response.part) else {
        return Err(failed(Status::internal("the answer does not begin with what is sent")));
    };
    let mut left = facts.bytes;
    while let Some(response) = parts.message().await.map_err(failed)? {
        let Some(Part::Chunk(chunk)) = response.part else { continue };
        file.write_all(&chunk).map_err(|error| local(&draft.0, &error))?;
        left -= i64::try_from(chunk.len()).unwrap_or(i64::MAX);
    }
    if left != 0 {
        return Err(failed(Status::data_loss(format!("{left} of {} bytes did not come", facts.bytes))));
    }
    file.sync_all().map_err(|error| local(&draft.0, &error))?;
    Ok(facts)
}

/// A temporary file that is removed unless it gets its final name.
struct Draft(PathBuf);

impl Draft {
    fn beside(file: &Path) -> Result<Self, Failure> {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{}.part", uuid::Uuid::new_v4()));
        let path = PathBuf::from(name);
        let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
        made.map_err(|error| local(&path, &error))?;
        Ok(Self(path))
    }

    fn become_file(self, file: &Path, overwrite: bool) -> Result<(), Failure> {
        if overwrite {
            std::fs::rename(&self.0, file).map_err(|error| local(file, &error))?;
        } else {
            // Unlike a rename, this never takes another file's place.
            match std::fs::hard_link(&self.0, file) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(Failure::Refused(format!("{} is there now, say --overwrite", file.display())));
                }
                Err(error) => return Err(local(file, &error)),
            }
        }
        drop(self);
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| local(directory, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn local(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Local(format!("cannot write {}, {error}; check its directory and its disk", path.display()))
}
