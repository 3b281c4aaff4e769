//! Generated messages and clients of the three packages, and the descriptor sets for reflection. Nothing else lives here;
//! the servers are generated into `api`, because their watch responses are encoded elsewhere.
#![allow(clippy::all, clippy::pedantic, missing_docs)]

/// `obsteward.v1`: the public API.
pub mod v1 {
    tonic::include_proto!("obsteward.v1");
    /// The descriptor set of the package, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/obsteward_v1.bin"));
}

/// `obsteward.agent.v1`: the API of the host agent, client and server.
pub mod agent_v1 {
    tonic::include_proto!("obsteward.agent.v1");
    /// The descriptor set of the package, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/obsteward_agent_v1.bin"));
}

/// `obsteward.store.v1`: stored event bodies.
pub mod store_v1 {
    tonic::include_proto!("obsteward.store.v1");
}
