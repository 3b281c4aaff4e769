//! `obsteward start` and `freeze`: ask for an operation that needs no plan. When a task at rest that stopped the server holds the cluster,
//! the answer to a start is that one, which is rolled back.

use clap::Args;
use uuid::Uuid;

use super::accept::{Accepted, send};
use super::begin::BeginArgs;
use super::client::Client;
use super::exit::Exit;
use super::failure::Failure;
use super::on_server::OnServer;
use super::output::Output;
use super::watching::Watching;
use crate::domain::ids::ServerAddr;
use crate::proto::v1;

/// Arguments of `start` and `freeze`.
#[derive(Debug, Args)]
pub struct PlainArgs {
    /// Which server.
    #[command(flatten)]
    on: OnServer,
    /// Refused unless the server has this address, ip:rpc_port [default: the one that it was named by]
    #[arg(long, value_name = "ADDRESS")]
    expect: Option<ServerAddr>,
    /// UUID of this request: repeating it gets the same task [default: a new one]
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// When it begins.
    #[command(flatten)]
    begin: BeginArgs,
    /// How far the task is followed.
    #[command(flatten)]
    watching: Watching,
}

/// Asks for an operation: the method of the client, its request, and what it does in words.
macro_rules! ask {
    ($run:ident, $call:ident, $request:ident, $doing:literal) => {
        pub async fn $run(args: PlainArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
            let (cluster_id, server_id) = args.on.ids(client).await?;
            let (request_id, expected_server, reason) = (args.request_id(), args.expected_server(), client.reason());
            let begin = args.begin.options();
            let request =
                v1::$request { cluster_id, server_id, request_id: request_id.clone(), expected_server, reason, begin };
            let call = async || Ok(client.servers().$call(request.clone()).await?.map(|answer| answer.task));
            let task = send(client, output, $doing, &request_id, call).await?;
            Accepted { task, plan: None, request_id }.show(client, output, args.watching).await
        }
    };
}

ask!(start, start_server, StartServerRequest, "start server");
ask!(freeze, freeze_server, FreezeServerRequest, "freeze server");

impl PlainArgs {
    fn request_id(&self) -> String {
        self.request_id.unwrap_or_else(Uuid::new_v4).to_string()
    }

    fn expected_server(&self) -> String {
        self.expect.map_or_else(|| self.on.address(), |address| address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed::parsed;

    fn asked(line: &str) -> PlainArgs {
        parsed(line)
    }

    #[test]
    fn the_server_is_the_one_that_was_named() {
        assert_eq!(asked("ob 10.0.0.2:2882").expected_server(), "10.0.0.2:2882");
        assert_eq!(asked("ob 2 --expect 10.0.0.3:2882").expected_server(), "10.0.0.3:2882");
        assert_eq!(asked("ob 10.0.0.2:2882 --expect 10.0.0.3:2882").expected_server(), "10.0.0.3:2882");
        assert_eq!(asked("--cluster-id 1 --server-id 2").expected_server(), "");
        assert!(asked("ob 2").request_id().parse::<Uuid>().is_ok());
        let id = "6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11";
        assert_eq!(asked(&format!("ob 2 --request-id {id}")).request_id(), id);
    }
}
