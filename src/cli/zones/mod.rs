//! `obsteward zones`: takes zones out of service with all their servers, and brings them back.

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::accept::{Accepted, send};
use super::begin::BeginArgs;
use super::client::Client;
use super::exit::{self, Exit};
use super::failure::Failure;
use super::output::Output;
use super::planned::{PlanDecision, StopOptions, plan_zone_first};
use super::resolve;
use super::watching::Watching;
use crate::clock::Clock;
use crate::domain::ids::ZoneName;
use crate::proto::v1;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum ZonesCommand {
    /// Take a zone out of service: show the plan, then stop it with all its servers unless a check blocks
    #[command(after_help = exit::HELP)]
    Stop(StopArgs),
    /// Bring a zone back: the process of each server that has none, then its service
    ///
    /// When a failed or cancelled task that stopped this very zone holds the cluster, that task is rolled back instead.
    #[command(after_help = exit::HELP)]
    Start(StartArgs),
    /// Stop a zone and start it again: show the plan of the stop, then restart it unless a check blocks
    #[command(after_help = exit::HELP)]
    Restart(StopArgs),
}

/// A zone of a cluster.
#[derive(Debug, Args)]
struct OnZone {
    /// Cluster, by name or id
    #[arg(value_name = "CLUSTER")]
    cluster: String,
    /// Zone, by name
    #[arg(value_name = "ZONE")]
    zone: ZoneName,
}

/// Arguments of `zones stop` and `zones restart`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Which zone.
    #[command(flatten)]
    on: OnZone,
    /// How its stop is made.
    #[command(flatten)]
    options: StopOptions,
}

/// Arguments of `zones start`.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Which zone.
    #[command(flatten)]
    on: OnZone,
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

impl ZonesCommand {
    pub const fn changes(&self) -> bool {
        match self {
            Self::Stop(args) | Self::Restart(args) => !args.options.plan,
            Self::Start(_) => true,
        }
    }
}

pub async fn run(command: ZonesCommand, client: &Client, output: &Output) -> Result<Exit, Failure> {
    match command {
        ZonesCommand::Stop(args) => stop(args, client, output).await,
        ZonesCommand::Start(args) => start(args, client, output).await,
        ZonesCommand::Restart(args) => restart(args, client, output).await,
    }
}

/// Shows the plan and asks for an operation that stops the zone: the method of the client, its request, and what it does in words.
macro_rules! stop {
    ($run:ident, $verb:literal, $call:ident, $request:ident, $doing:literal) => {
        async fn $run(StopArgs { on, options }: StopArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
            let cluster_id = resolve::cluster(client, &on.cluster).await?;
            let zone = on.zone.as_str();
            let plan = match plan_zone_first($verb, cluster_id, zone, &options, client, output).await? {
                PlanDecision::Over(exit) => return Ok(exit),
                PlanDecision::Proceed(plan) => plan,
            };
            let request_id = options.request_id();
            let request = v1::$request {
                cluster_id,
                zone: zone.to_owned(),
                request_id: request_id.clone(),
                reason: client.reason(),
                expire_time: options.expire_time(&Clock::system()),
                force: options.force,
                accept_risks: options.risks(),
                freeze_before_stop: options.freeze,
                drain: options.drain(),
                begin: options.begin.options(),
            };
            let call = async || Ok(client.zones().$call(request.clone()).await?.map(|answer| answer.task));
            let task = send(client, output, $doing, &request_id, call).await?;
            Accepted { task, plan: Some(plan), request_id }.show(client, output, options.watching).await
        }
    };
}

stop!(stop, "stop", stop_zone, StopZoneRequest, "stop zone");
stop!(restart, "restart", restart_zone, RestartZoneRequest, "restart zone");

async fn start(args: StartArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let cluster_id = resolve::cluster(client, &args.on.cluster).await?;
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let request = v1::StartZoneRequest {
        cluster_id,
        zone: args.on.zone.to_string(),
        request_id: request_id.clone(),
        reason: client.reason(),
        begin: args.begin.options(),
    };
    let call = async || Ok(client.zones().start_zone(request.clone()).await?.map(|answer| answer.task));
    let task = send(client, output, "start zone", &request_id, call).await?;
    Accepted { task, plan: None, request_id }.show(client, output, args.watching).await
}
