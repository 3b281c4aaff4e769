//! Messages that say everything once. Protocol Buffers let a field come twice and take the last (of messages: both, merged);
//! whoever reads the first sees another request. No encoder writes such a message by itself. Pure.

use std::collections::HashMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

use crate::api::grpc::fields::Fields;
use crate::domain::refusal::Refusal;

/// Deepest message that is looked into, as prost decodes them.
const DEEPEST: usize = 100;

/// The fields of messages, by the messages' full names.
#[derive(Debug, Default)]
pub struct Shapes(HashMap<String, HashMap<u32, Field>>);

#[derive(Debug)]
struct Field {
    name: String,
    repeated: bool,
    /// Its `oneof`, of whose fields a message has one at most.
    oneof: Option<i32>,
    /// Full name of its type, when that is a message.
    message: Option<String>,
}

impl Shapes {
    /// Of all messages of these files.
    pub fn of(files: &FileDescriptorSet) -> Self {
        let mut shapes = Self::default();
        for file in &files.file {
            for message in &file.message_type {
                shapes.add(&format!(".{}", file.package()), message);
            }
        }
        shapes
    }

    fn add(&mut self, around: &str, message: &DescriptorProto) {
        let name = format!("{around}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.add(&name, nested));
        let fields = message.field.iter().filter_map(|field| {
            let shape = Field {
                name: field.name().to_owned(),
                repeated: field.label() == Label::Repeated,
                // A field that may be absent is a `oneof` of its own.
                oneof: field.oneof_index.filter(|_| !field.proto3_optional()),
                message: (field.r#type() == Type::Message).then(|| field.type_name().to_owned()),
            };
            Some((u32::try_from(field.number()).ok()?, shape))
        });
        self.0.insert(name, fields.collect());
    }

    /// Whether a message of this type says everything once. What cannot be read is left to who decodes it.
    pub fn said_once(&self, message: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let mut fields = Fields::default();
        self.look(message, bytes, "", DEEPEST, &mut fields);
        fields.finish(())
    }

    fn look(&self, message: &str, mut bytes: &[u8], path: &str, depth: usize, wrong: &mut Fields) {
        let Some(known) = self.0.get(message).filter(|_| depth > 0) else { return };
        let mut seen = HashMap::<u32, usize>::new();
        let mut chosen = HashMap::<i32, &Field>::new();
        while let Some((number, value)) = next(&mut bytes) {
            let Some(field) = known.get(&number) else { continue };
            let times = seen.entry(number).or_default();
            *times += 1;
            let mut name = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
            if field.repeated {
                name = format!("{name}[{}]", *times - 1);
            } else if *times == 2 {
                wrong.wrong(name.clone(), "is given more than once, give it once");
            }
            if let Some(other) = field.oneof.and_then(|oneof| chosen.insert(oneof, field))
                && other.name != field.name
            {
                wrong.wrong(name.clone(), format!("and {} are both given, give one of them", other.name));
            }
            if let (Some(inner), Some(value)) = (&field.message, value) {
                self.look(inner, value, &name, depth - 1, wrong);
            }
        }
    }
}

/// The next field: its number, and its bytes when it has a length. `None`: the end, or what cannot be read.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    let tag = varint(bytes)?;
    let number = u32::try_from(tag >> 3).ok()?;
    let length = match tag & 7 {
        0 => {
            varint(bytes)?;
            return Some((number, None));
        }
        1 => 8,
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((number, (tag & 7 == 2).then_some(value)))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift).unwrap_or_default();
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::proto::v1;

    const STOP: &str = ".obsteward.v1.StopServerRequest";

    fn shapes() -> Shapes {
        Shapes::of(&FileDescriptorSet::decode(v1::FILE_DESCRIPTOR_SET).unwrap())
    }

    fn wrong(message: &str, bytes: &[u8]) -> Vec<String> {
        match shapes().said_once(message, bytes) {
            Ok(()) => Vec::new(),
            Err(Refusal::InvalidArgument(violations)) => violations.shown.into_iter().map(|one| one.field).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_an_encoder_writes_is_said_once() {
        let risks = vec![v1::Risk::QuorumLoss.into(), v1::Risk::ClusterUnreachable.into()];
        let stop = v1::StopServerRequest {
            cluster_id: 1,
            server_id: i64::MAX,
            force: true,
            accept_risks: risks,
            request_id: "x".repeat(300),
            expire_time: Some(prost_types::Timestamp { seconds: -1, nanos: 1 }),
            ..Default::default()
        };
        assert!(wrong(STOP, &stop.encode_to_vec()).is_empty());
        let host = v1::Host { svr_ip: "10.0.0.1".to_owned(), ..Default::default() };
        let register = v1::RegisterClusterRequest { hosts: vec![host.clone(), host], ..Default::default() };
        assert!(wrong(".obsteward.v1.RegisterClusterRequest", &register.encode_to_vec()).is_empty());
    }

    #[test]
    fn a_field_that_comes_twice_is_found_at_every_depth() {
        let with = |force| v1::StopServerRequest { cluster_id: 1, force, ..Default::default() }.encode_to_vec();
        assert_eq!(wrong(STOP, &[with(false), with(true)].concat()), ["cluster_id"]);
        assert_eq!(wrong(STOP, &[with(true), with(true)].concat()), ["cluster_id", "force"]);
        let host = v1::Host { svr_ip: "10.0.0.1".to_owned(), ..Default::default() }.encode_to_vec();
        let twice = [host.clone(), host].concat();
        let hosts = shapes().0[".obsteward.v1.RegisterClusterRequest"]
            .iter()
            .find_map(|(number, field)| (field.name == "hosts").then_some(*number))
            .unwrap();
        let tag = u8::try_from(hosts << 3 | 2).unwrap();
        let register = [&[tag, 0, tag, u8::try_from(twice.len()).unwrap()], &twice[..]].concat();
        assert_eq!(wrong(".obsteward.v1.RegisterClusterRequest", &register), ["hosts[1].svr_ip"]);
    }

    #[test]
    fn two_ways_to_say_which_are_one_too_many() {
        use v1::get_cluster_request::By;
        let by = |by| v1::GetClusterRequest { by: Some(by) }.encode_to_vec();
        let (id, name) = (by(By::ClusterId(1)), by(By::Name("ob".to_owned())));
        let get = ".obsteward.v1.GetClusterRequest";
        assert_eq!(wrong(get, &[id.clone(), name].concat()), ["name"]);
        assert_eq!(wrong(get, &id), [""; 0]);
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            _ = shapes().said_once(STOP, &bytes);
        }
    }
}
