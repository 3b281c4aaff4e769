//! A backup of the store on its way out: what it is, then its bytes.

use futures::stream::{self, Stream, StreamExt};
use tokio::io::AsyncReadExt;

use crate::domain::refusal::Refusal;
use crate::proto::v1;
use crate::proto::v1::backup_store_response::Part;
use crate::store::backup::Backup;
use crate::watch::encode::timestamp;

/// Bytes of one message.
const CHUNK: usize = 256 << 10;

/// The messages of a backup. The file is read as they are taken.
pub(super) fn parts(backup: Backup) -> impl Stream<Item = Result<v1::BackupStoreResponse, Refusal>> + Send {
    let Backup { file, bytes, store_id, head, at } = backup;
    let facts = v1::StoreBackup {
        store_id,
        seq: head.get(),
        bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        create_time: Some(timestamp(at)),
    };
    let chunks = stream::try_unfold(tokio::fs::File::from_std(file), |mut file| async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await;
        read.map_err(|error| Refusal::Internal { what: format!("the copy of the store cannot be read: {error}") })?;
        Ok((!chunk.is_empty()).then_some((Part::Chunk(chunk), file)))
    });
    let first = stream::iter([Ok(Part::Backup(facts))]);
    first.chain(chunks).map(|part| part.map(|part| v1::BackupStoreResponse { part: Some(part) }))
}
