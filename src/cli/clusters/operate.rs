//! `obsteward clusters stop`, `start` and `restart`: end service for everybody, and bring it back.

use clap::Args;
use uuid::Uuid;

use crate::cli::accept::{Accepted, send};
use crate::cli::begin::BeginArgs;
use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::planned::{PlanDecision, StopOptions, plan_cluster_first};
use crate::cli::resolve;
use crate::cli::watching::Watching;
use crate::clock::Clock;
use crate::proto::v1;

/// Arguments of `clusters stop` and `clusters restart`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Cluster, by name or id; one that is named has to have that name when the task is accepted
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// How its stop is made.
    #[command(flatten)]
    pub options: StopOptions,
}

/// Arguments of `clusters start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
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

/// What the person typed, if that was a name.
fn expected_name(named: &str) -> String {
    if named.parse::<i64>().is_ok() { String::new() } else { named.to_owned() }
}

/// Shows the plan and asks for an operation that stops the cluster: the method of the client, its request, and what it does in words.
macro_rules! stop {
    ($run:ident, $verb:literal, $call:ident, $request:ident, $doing:literal) => {
        pub async fn $run(args: StopArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
            let StopArgs { cluster, options } = args;
            let cluster_id = resolve::cluster(client, &cluster).await?;
            let plan = match plan_cluster_first($verb, cluster_id, &options, client, output).await? {
                PlanDecision::Over(exit) => return Ok(exit),
                PlanDecision::Proceed(plan) => plan,
            };
            let request_id = options.request_id();
            let request = v1::$request {
                cluster_id,
                expected_name: expected_name(&cluster),
                request_id: request_id.clone(),
                reason: client.reason(),
                expire_time: options.expire_time(&Clock::system()),
                force: options.force,
                accept_risks: options.risks(),
                begin: options.begin.options(),
            };
            let call = async || Ok(client.clusters().$call(request.clone()).await?.map(|answer| answer.task));
            let task = send(client, output, $doing, &request_id, call).await?;
            Accepted { task, plan: Some(plan), request_id }.show(client, output, options.watching).await
        }
    };
}

stop!(stop, "stop", stop_cluster, StopClusterRequest, "stop cluster");
stop!(restart, "restart", restart_cluster, RestartClusterRequest, "restart cluster");

pub async fn start(args: StartArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.cluster).await?;
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let request = v1::StartClusterRequest {
        cluster_id,
        expected_name: expected_name(&args.cluster),
        request_id: request_id.clone(),
        reason: client.reason(),
        begin: args.begin.options(),
    };
    let call = async || Ok(client.clusters().start_cluster(request.clone()).await?.map(|answer| answer.task));
    let task = send(client, output, "start cluster", &request_id, call).await?;
    Accepted { task, plan: None, request_id }.show(client, output, args.watching).await
}
