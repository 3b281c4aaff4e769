//! Which requests say why they are made: all that change something. Pure.

use crate::api::grpc::fields::Fields;
use crate::domain::reason::Reason;
use crate::domain::refusal::{Refusal, Violations};
use crate::proto::v1;

/// A request, and why it is made.
pub trait Reasoned {
    /// The field; empty of a request that changes nothing.
    fn reason(&self) -> &str {
        ""
    }
}

// Of each request of `obsteward.v1`, by whether it has the field: made by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/reasons.rs"));

/// Why a request is made, or what is wrong with that.
pub fn reason_of(request: &impl Reasoned) -> Result<Reason, Refusal> {
    let mut fields = Fields::default();
    match request.reason().parse() {
        Ok(reason) => Ok(reason),
        Err(error) => {
            fields.wrong("reason", error.to_string());
            Err(fields.refusal())
        }
    }
}

/// What is wrong with a request, its reason among the rest.
pub fn with_reason<T>(reason: Option<&Refusal>, validated: Result<T, Refusal>) -> Result<T, Refusal> {
    match (reason, validated) {
        (None, validated) => validated,
        (Some(wrong), Ok(_)) => Err(wrong.clone()),
        (Some(Refusal::InvalidArgument(reason)), Err(Refusal::InvalidArgument(mut rest))) => {
            let Violations { shown, omitted } = reason.clone();
            rest.shown.extend(shown);
            rest.omitted += omitted;
            Err(Refusal::InvalidArgument(rest))
        }
        (Some(_), Err(refusal)) => Err(refusal),
    }
}
