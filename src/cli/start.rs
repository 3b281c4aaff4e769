//! `obsteward start`: asks for the task that brings a server back. When a task at rest that stopped the server holds the
//! cluster, the server answers with that one, which it rolls back.

use clap::Args;
use uuid::Uuid;

use super::accept::{Accepted, send};
use super::client::Client;
use super::exit::Exit;
use super::failure::Failure;
use super::on_server::OnServer;
use super::output::Output;
use super::watching::Watching;
use crate::domain::ids::ServerAddr;
use crate::proto::v1;

/// Arguments of `start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Which server.
    #[command(flatten)]
    on: OnServer,
    /// Refused unless the server has this address, ip:rpc_port [default: the one that it was named by]
    #[arg(long, value_name = "ADDRESS")]
    expect: Option<ServerAddr>,
    /// UUID of this request: repeating it gets the same task [default: a new one]
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// How far the task is followed.
    #[command(flatten)]
    watching: Watching,
}

pub async fn run(args: StartArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let request = request(&args, args.on.ids(client).await?);
    let request = v1::StartServerRequest { reason: client.reason(), ..request };
    let request_id = request.request_id.clone();
    let call = async || Ok(client.servers().start_server(request.clone()).await?.map(|answer| answer.task));
    let task = send(client, output, "start server", &request_id, call).await?;
    Accepted { task, plan: None, request_id }.show(client, output, args.watching).await
}

fn request(args: &StartArgs, (cluster_id, server_id): (i64, i64)) -> v1::StartServerRequest {
    v1::StartServerRequest {
        cluster_id,
        server_id,
        request_id: args.request_id.unwrap_or_else(Uuid::new_v4).to_string(),
        expected_server: args.expect.map_or_else(|| args.on.address(), |address| address.to_string()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed::parsed;

    fn asked(line: &str) -> v1::StartServerRequest {
        request(&parsed(line), (1, 2))
    }

    #[test]
    fn the_server_is_the_one_that_was_named() {
        assert_eq!(asked("ob 10.0.0.2:2882").expected_server, "10.0.0.2:2882");
        assert_eq!(asked("ob 2 --expect 10.0.0.3:2882").expected_server, "10.0.0.3:2882");
        assert_eq!(asked("ob 10.0.0.2:2882 --expect 10.0.0.3:2882").expected_server, "10.0.0.3:2882");
        assert_eq!(asked("--cluster-id 1 --server-id 2").expected_server, "");
        assert!(asked("ob 2").request_id.parse::<Uuid>().is_ok());
        let id = "6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11";
        assert_eq!(asked(&format!("ob 2 --request-id {id}")).request_id, id);
    }
}
