//! What the protocol calls REQUIRED is what is refused when it is missing, in every request that there is.

use std::collections::BTreeSet;

use obsteward::proto::v1;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor, Value};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::faces::api::Fixture;

/// `google.api.FieldBehavior.REQUIRED`.
const REQUIRED: i32 = 2;

fn is_required(field: &FieldDescriptor) -> bool {
    let behavior = field.parent_pool().get_extension_by_name("google.api.field_behavior").unwrap();
    let options = field.options();
    let behaviors = options.get_extension(&behavior);
    let behaviors = behaviors.as_list().unwrap();
    behaviors.iter().any(|value| matches!(value, Value::EnumNumber(REQUIRED)))
}

fn required(request: &MessageDescriptor) -> BTreeSet<String> {
    request.fields().filter(is_required).map(|field| field.name().to_owned()).collect()
}

#[tokio::test]
async fn what_is_required_is_refused_when_it_is_missing_and_nothing_else_is() {
    let fixture = Fixture::new().await;
    let pool = DescriptorPool::decode(v1::FILE_DESCRIPTOR_SET).unwrap();
    let mut seen = 0;
    let methods = pool.services().filter(|service| service.package_name() == "obsteward.v1");
    for method in methods.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let required = required(&method.input());
        // A request that may be empty may do something: it is not sent here.
        if required.is_empty() {
            continue;
        }
        let path =
            PathAndQuery::try_from(format!("/{}/{}", method.parent_service().full_name(), method.name())).unwrap();
        let mut grpc = Grpc::new(fixture.channel.clone());
        grpc.ready().await.unwrap();
        let answer = grpc.server_streaming(Request::new(()), path.clone(), ProstCodec::<(), ()>::default()).await;
        let refused = match answer {
            Err(status) => status,
            Ok(answer) => answer.into_inner().message().await.unwrap_err(),
        };
        assert_eq!(refused.code(), Code::InvalidArgument, "{path}: {refused:?}");
        let violations = refused.get_details_bad_request().unwrap().field_violations;
        let named: BTreeSet<String> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(named, required, "{path}");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} methods require anything");
    assert!(fixture.service.nothing_reached(), "{}", fixture.service.last_call());
}
