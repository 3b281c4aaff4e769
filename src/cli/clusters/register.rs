//! `obsteward clusters register`.

use clap::Args;
use secrecy::ExposeSecret;

use super::password::PasswordArgs;
use super::show::print;
use crate::api::host_words::{parse_default_host, parse_host, parse_server_id};
use crate::cli::client::{CLUSTER_TIMEOUT, Client};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::domain::ids::LARGEST_ID;
use crate::proto::v1;

/// Arguments of `clusters register`.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// Endpoint host:sql_port of a server of the cluster; may be given more than once
    #[arg(long = "endpoint", value_name = "HOST:PORT", required = true)]
    endpoints: Vec<String>,
    /// User of the cluster's sys tenant, root@sys#CLUSTER behind an OBProxy of several (--user is who calls)
    #[arg(long, value_name = "USER", default_value = "root@sys")]
    cluster_user: String,
    #[command(flatten)]
    password: PasswordArgs,
    /// Refused unless the cluster has this name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
    /// Id for the cluster here [default: chosen by the server]
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..=LARGEST_ID))]
    cluster_id: Option<i64>,
    /// Id for a server here; may be given more than once
    #[arg(long = "server-id", value_name = "IP:PORT=ID", value_parser = parse_server_id)]
    server_ids: Vec<v1::ServerIdAssignment>,
    /// How the host of a server is reached: ip=none, ip=local, ip=grpc:host:port or ip=ssh:[user@]host[:port]; may be given more
    /// than once
    #[arg(long = "host", value_name = "IP=WAY", value_parser = parse_host)]
    hosts: Vec<v1::Host>,
    /// How hosts are reached that --host does not name: local, grpc:PORT or ssh:[USER@][:PORT]
    #[arg(long, value_name = "WAY", value_parser = parse_default_host)]
    default_host: Option<v1::DefaultHost>,
}

pub async fn run(args: RegisterArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let request = v1::RegisterClusterRequest {
        endpoints: args.endpoints,
        username: args.cluster_user,
        password: args.password.require()?.expose_secret().to_owned(),
        expected_name: args.name,
        cluster_id: args.cluster_id,
        server_ids: args.server_ids,
        hosts: args.hosts,
        default_host: args.default_host,
        reason: client.reason(),
    };
    let answer =
        client.change("register cluster", CLUSTER_TIMEOUT, client.clusters().register_cluster(request)).await?;
    print(answer.cluster, output)
}
