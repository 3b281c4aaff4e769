//! What every request of the face shares.

use std::net::IpAddr;

use tracing::warn;

use crate::api::rest::Rest;
use crate::api::rest::answer::Failure;
use crate::api::rest::response_format::ResponseFormat;
use crate::api::rest::timestamp_format::TimestampFormat;
use crate::domain::status::Risk;
use crate::service::{Caller, ServiceCall};

/// What the face stands on, with what is computed of it once.
pub struct RestState {
    pub rest: Rest,
    pub format: ResponseFormat,
    /// Risks that may be accepted over this face.
    pub risks: Vec<Risk>,
}

impl RestState {
    /// A time zone or a risk that is not known is told in the log and left out.
    pub fn new(rest: Rest) -> Self {
        let timestamps = TimestampFormat::named(&rest.config.time_zone).unwrap_or_else(|unknown| {
            warn!("{unknown}; moments are in UTC");
            TimestampFormat::utc()
        });
        let risks = rest.config.accepted_risks.iter().filter_map(|name| {
            name.parse().map_err(|unknown| warn!("rest.accepted_risks: {unknown}, it stays without effect")).ok()
        });
        let risks = risks.collect();
        let server = server_name(&rest);
        let format = ResponseFormat { timestamps, server, codes: rest.config.error_codes };
        Self { rest, format, risks }
    }

    /// Makes a call with these arguments; when those of a mutation are wrong, that it was asked for is kept.
    pub async fn call<C: ServiceCall>(
        &self,
        caller: &Caller,
        arguments: Result<C, Failure>,
    ) -> Result<C::Output, Failure> {
        match arguments {
            Ok(call) => Ok(self.rest.guarded.call(caller, call).await?),
            Err(failure) => {
                self.rest.guarded.refused::<C>(caller, &failure.refusal).await;
                Err(failure)
            }
        }
    }
}

/// The name that was given, or the address that is listened on, or the machine's name.
fn server_name(rest: &Rest) -> String {
    let listened = rest.config.listen.map(|address| address.ip()).filter(|ip: &IpAddr| !ip.is_unspecified());
    match (rest.config.server_name.as_str(), listened) {
        ("", Some(ip)) => ip.to_string(),
        ("", None) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        (name, _) => name.to_owned(),
    }
}
