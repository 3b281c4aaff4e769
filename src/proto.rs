//! Generated messages and clients of the three packages, the descriptor sets for reflection, the details of errors, which are
//! encoded in one order, and messages as JSON. Nothing else lives here; the servers are generated into `api`, because their
//! watch responses are encoded elsewhere.

pub mod json;

/// `obsteward.v1`: the public API.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod v1 {
    tonic::include_proto!("obsteward.v1");
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/obsteward_v1.bin"));

    impl Task {
        /// `None`: the task acts on more than one server.
        pub fn server(&self) -> Option<&TaskServer> {
            match self.target.as_ref()? {
                task::Target::Server(server) => Some(server),
                task::Target::Zone(_) | task::Target::WholeCluster(_) => None,
            }
        }
    }
}

/// `google.longrunning`: tasks as long-running operations for generic clients. Its descriptors are with those of
/// `obsteward.v1`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod longrunning {
    tonic::include_proto!("google.longrunning");
}

/// `obsteward.agent.v1`: the API of the host agent, client and server.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod agent_v1 {
    tonic::include_proto!("obsteward.agent.v1");
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/obsteward_agent_v1.bin"));
}

/// `obsteward.store.v1`: stored event bodies.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod store_v1 {
    tonic::include_proto!("obsteward.store.v1");
}

/// `google.rpc`: details of errors.
pub mod rpc {
    use prost::Message;
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    /// `google.rpc.ErrorInfo` with its metadata in the order of their keys: the same error has the same bytes, which a hash map
    /// does not guarantee.
    #[derive(Clone, PartialEq, Message)]
    pub struct ErrorInfo {
        /// `UPPER_SNAKE`.
        #[prost(string, tag = "1")]
        pub reason: String,
        /// The service that defines the reasons.
        #[prost(string, tag = "2")]
        pub domain: String,
        /// Every value in the message.
        #[prost(btree_map = "string, string", tag = "3")]
        pub metadata: std::collections::BTreeMap<String, String>,
    }

    impl ErrorInfo {
        /// As a detail of a status.
        pub fn into_any(self) -> prost_types::Any {
            let type_url = tonic_types::ErrorInfo::TYPE_URL.to_owned();
            prost_types::Any { type_url, value: self.encode_to_vec() }
        }

        /// A status with this detail first, then the others.
        pub fn status(self, code: Code, message: String, others: ErrorDetails) -> Status {
            let others = Status::with_error_details(code, message.as_str(), others);
            // Never an error: it was encoded just now.
            let mut whole = tonic_types::Status::decode(others.details()).unwrap_or_default();
            whole.details.insert(0, self.into_any());
            Status::with_details(code, message, whole.encode_to_vec().into())
        }
    }
}
