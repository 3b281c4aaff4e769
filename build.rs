//! Compiles the protocol definitions without protoc: protox makes one descriptor set, from which messages and clients are
//! generated first, then servers whose watch responses are bytes that were encoded once for all watchers.

use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let public = compile(&[
        "obsteward/v1/task.proto",
        "obsteward/v1/task_service.proto",
        "obsteward/v1/cluster_service.proto",
        "obsteward/v1/ob_server_service.proto",
        "obsteward/v1/ob_zone_service.proto",
        "obsteward/v1/rollout_service.proto",
        "obsteward/v1/admin_service.proto",
        "google/longrunning/operations.proto",
    ])?;
    let agent = compile(&["obsteward/agent/v1/host_agent_service.proto"])?;
    let store = compile(&["obsteward/store/v1/event.proto"])?;
    std::fs::write(out.join("obsteward_v1.bin"), &public.compiled)?;
    std::fs::write(out.join("obsteward_agent_v1.bin"), &agent.compiled)?;

    std::fs::write(out.join("reasons.rs"), reasons(&public.files))?;

    // By its name a message finds its descriptor when it is written as JSON.
    let mut named = tonic_prost_build::Config::new();
    named.enable_type_names();
    // Maps are encoded in the order of their keys: a message has one encoding.
    tonic_prost_build::configure()
        .btree_map(".")
        .build_server(false)
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds_with_config(public.files.clone(), named)?;
    tonic_prost_build::configure().compile_fds(agent.files)?;
    tonic_prost_build::configure().build_server(false).build_client(false).compile_fds(store.files)?;

    let servers = out.join("server");
    std::fs::create_dir_all(&servers)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(&servers)
        .extern_path(".obsteward.v1", "crate::proto::v1")
        .extern_path(".google.longrunning", "crate::proto::longrunning")
        .extern_path(".obsteward.v1.WatchTaskResponse", "crate::watch::Encoded")
        .extern_path(".obsteward.v1.WatchTasksResponse", "crate::watch::Encoded")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds(public.files)?;
    Ok(())
}

/// Which requests say why they are made.
fn reasons(files: &prost_types::FileDescriptorSet) -> String {
    let ours = files.file.iter().filter(|file| file.package() == "obsteward.v1");
    let requests = ours.flat_map(|file| &file.message_type).filter(|message| message.name().ends_with("Request"));
    let of = |message: &prost_types::DescriptorProto| {
        let says = message.field.iter().any(|field| field.name() == "reason");
        let body = if says { "fn reason(&self) -> &str { &self.reason }" } else { "" };
        format!("impl Reasoned for v1::{} {{ {body} }}\n", message.name())
    };
    requests.map(of).collect()
}

struct Compiled {
    files: prost_types::FileDescriptorSet,
    /// As above, with the options that `prost_types` does not know: whether a field is required.
    compiled: Vec<u8>,
}

fn compile(files: &[&str]) -> Result<Compiled, Box<dyn Error>> {
    let mut compiler = protox::Compiler::new([Path::new("proto")])?;
    // Comments are the manual that `grpcurl describe` shows.
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files)?;
    Ok(Compiled { files: compiler.file_descriptor_set(), compiled: compiler.encode_file_descriptor_set() })
}
