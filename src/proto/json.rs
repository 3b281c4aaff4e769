//! Messages as JSON, from the descriptors: names of fields and of enumerations as in the protocol, numbers as numbers, moments in
//! RFC 3339. Every field is there that cannot be absent, whatever its value, so that a reader need not know which value is the
//! default; what is absent is left out. Keys stand in alphabetical order: a message has one text.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, SerializeOptions};
use serde::ser::{Error, Serialize, Serializer};
use serde_json::Value;

/// Ids are below 2^53, so that every reader of JSON takes them as they are.
const OPTIONS: SerializeOptions =
    SerializeOptions::new().stringify_64_bit_integers(false).use_proto_field_name(true).skip_default_fields(false);

/// The public API, and the details of errors, which stand in a message as bytes with a name.
static DESCRIPTORS: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| descriptors().map_err(|error| error.to_string()));

fn descriptors() -> Result<DescriptorPool, Box<dyn std::error::Error>> {
    let mut pool = DescriptorPool::decode(super::v1::FILE_DESCRIPTOR_SET)?;
    let mut details = prost_types::FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
    // The same `google.rpc.Status` is in ours, under the name that the API imports.
    details.file.retain(|file| file.name() != "status.proto");
    pool.add_file_descriptor_set(details)?;
    Ok(pool)
}

/// A message that is written as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a, M>(pub &'a M);

impl<M: Message + Name> Serialize for Json<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        value(self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// A message as a document.
pub fn value<M: Message + Name>(message: &M) -> Result<Value, serde_json::Error> {
    // By way of a document, because the maps of a dynamic message have no order.
    dynamic(message)?.serialize_with_options(serde_json::value::Serializer, &OPTIONS)
}

/// Name of the field of this `oneof` that a message carries; absent: none, or one that this version does not know.
pub fn carried<M: Message + Name>(message: &M, oneof: &str) -> Option<String> {
    let message = dynamic(message).ok()?;
    let oneof = message.descriptor().oneofs().find(|one| one.name() == oneof)?;
    oneof.fields().find(|field| message.has_field(field)).map(|field| field.name().to_owned())
}

fn dynamic<M: Message + Name>(message: &M) -> Result<DynamicMessage, serde_json::Error> {
    let pool = DESCRIPTORS.as_ref().map_err(serde_json::Error::custom)?;
    let name = M::full_name();
    let descriptor = pool.get_message_by_name(&name);
    let descriptor =
        descriptor.ok_or_else(|| serde_json::Error::custom(format!("message {name} has no descriptor")))?;
    DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(serde_json::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::proto::v1::task_event::Kind;
    use crate::proto::{rpc, v1};

    fn error() -> tonic_types::Status {
        let metadata = [("b", "2"), ("a", "1")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let info = rpc::ErrorInfo { reason: "TIMEOUT".to_owned(), domain: "obsteward".to_owned(), metadata };
        tonic_types::Status { code: 4, message: "too late".to_owned(), details: vec![info.into_any()] }
    }

    fn event() -> v1::TaskEvent {
        v1::TaskEvent {
            seq: 9,
            task_id: 9_007_199_254_740_991,
            revision: 3,
            event_time: Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 678_000_000 }),
            kind: Some(Kind::SubtaskTransition(v1::SubtaskTransition {
                subtask_id: 2,
                name: "Stop server".to_owned(),
                from: v1::SubtaskState::Running as i32,
                to: 99,
                error: Some(error()),
                ..Default::default()
            })),
        }
    }

    #[test]
    fn an_event_is_written_with_the_words_of_the_protocol() {
        assert_eq!(
            value(&event()).unwrap(),
            json!({
                "seq": 9, "task_id": 9_007_199_254_740_991_i64, "revision": 3, "event_time": "2026-01-02T03:04:05.678Z",
                "subtask_transition": {
                    "subtask_id": 2, "name": "Stop server", "from": "SUBTASK_STATE_RUNNING", "to": 99,
                    "operation": "SUBTASK_OPERATION_UNSPECIFIED", "run_time": 0, "effect": "EFFECT_UNSPECIFIED",
                    "executor": "",
                    "error": {
                        "code": 4, "message": "too late",
                        "details": [{
                            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TIMEOUT",
                            "domain": "obsteward", "metadata": {"a": "1", "b": "2"}
                        }]
                    }
                }
            })
        );
        assert_eq!(carried(&event(), "kind").as_deref(), Some("subtask_transition"));
    }

    #[test]
    fn an_event_of_an_unknown_kind_still_tells_its_position() {
        let event = v1::TaskEvent { kind: None, event_time: None, ..event() };
        assert_eq!(
            serde_json::to_string(&Json(&event)).unwrap(),
            r#"{"revision":3,"seq":9,"task_id":9007199254740991}"#
        );
        assert_eq!(carried(&event, "kind"), None);
    }

    #[test]
    fn what_may_be_absent_is_left_out_and_what_may_not_is_written() {
        let user = value(&v1::UpdateUserRequest { name: "bob".to_owned(), ..Default::default() }).unwrap();
        assert_eq!(user, json!({"name": "bob", "reason": ""}));
        let user =
            v1::UpdateUserRequest { disabled: Some(false), roles: Some(Default::default()), ..Default::default() };
        assert_eq!(value(&user).unwrap(), json!({"name": "", "disabled": false, "roles": {"names": []}, "reason": ""}));
    }

    #[test]
    fn the_same_message_has_the_same_text() {
        let context = (0..40).map(|number| (format!("key {number}"), String::new())).collect();
        let task = v1::Task { context, ..Default::default() };
        let first = serde_json::to_string(&Json(&task)).unwrap();
        assert!((0..20).all(|_| serde_json::to_string(&Json(&task)).unwrap() == first));
    }
}
