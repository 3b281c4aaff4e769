//! A watch message that is encoded already. The servers are generated with this type in place of the two watch responses (see
//! `build.rs`), which have the same fields and numbers: one encoding serves both.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType, skip_field};
use prost::{DecodeError, Message};

use crate::proto::v1;
use crate::proto::v1::watch_task_response::Kind;

/// An encoded `WatchTaskResponse` or `WatchTasksResponse`; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Bytes);

impl Encoded {
    /// Encodes a message once for all watchers.
    pub fn of(kind: Kind) -> Self {
        Self(v1::WatchTaskResponse { kind: Some(kind) }.encode_to_vec().into())
    }

    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl Message for Encoded {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    /// Only servers use this type, and only for responses: whatever is decoded into it is dropped. It stays empty, so that
    /// nothing half-decoded can be sent on.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.clear();
        skip_field(wire_type, tag, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0 = Bytes::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_message_under_either_name() {
        let bookmark = v1::Bookmark { seq: 7, revision: 3, state: 1, snapshots_end: true };
        let encoded = Encoded::of(Kind::Bookmark(bookmark));
        let one = v1::WatchTaskResponse::decode(encoded.encode_to_vec().as_slice()).unwrap();
        assert_eq!(one.kind, Some(Kind::Bookmark(bookmark)));
        let many = v1::WatchTasksResponse::decode(encoded.bytes().clone()).unwrap();
        assert_eq!(many.kind, Some(v1::watch_tasks_response::Kind::Bookmark(bookmark)));
    }
}
