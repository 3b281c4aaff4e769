//! `obsteward restart`: shows what the stop would meet, stops there when a check blocks, and otherwise asks for the task that
//! stops the server and starts it again.

use clap::Args;

use super::accept::{Accepted, send};
use super::client::Client;
use super::exit::Exit;
use super::failure::Failure;
use super::on_server::OnServer;
use super::output::Output;
use super::planned::{PlanDecision, StopOptions, plan_first};
use crate::clock::Clock;
use crate::proto::v1;

/// Arguments of `restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Which server.
    #[command(flatten)]
    on: OnServer,
    /// How its stop is made.
    #[command(flatten)]
    pub(super) options: StopOptions,
}

pub async fn run(args: RestartArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let RestartArgs { on, options } = &args;
    let plan = match plan_first("restart", on, v1::StopType::Process, options, client, output).await? {
        PlanDecision::Over(exit) => return Ok(exit),
        PlanDecision::Proceed(plan) => plan,
    };
    let request = v1::RestartServerRequest { reason: client.reason(), ..request(options, &plan, &Clock::system()) };
    let request_id = request.request_id.clone();
    let call = async || Ok(client.servers().restart_server(request.clone()).await?.map(|answer| answer.task));
    let task = send(client, output, "restart server", &request_id, call).await?;
    Accepted { task, plan: Some(plan), request_id }.show(client, output, options.watching).await
}

fn request(options: &StopOptions, plan: &v1::StopPlan, clock: &Clock) -> v1::RestartServerRequest {
    v1::RestartServerRequest {
        cluster_id: plan.cluster_id,
        server_id: plan.server_id,
        force: options.force,
        accept_risks: options.risks(),
        request_id: options.request_id(),
        // What the person was shown is what is restarted, or nothing.
        expected_server: plan.address.clone(),
        expire_time: options.expire_time(clock),
        freeze_before_stop: options.freeze,
        drain: options.drain(),
        begin: options.begin.options(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed::parsed;
    use crate::cli::planned::tests::plan;

    #[test]
    fn the_request_is_for_what_was_shown() {
        let id = "6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11";
        let line = format!("ob 2 --force --accept-risk quorum-loss --freeze --expire-in 1h --request-id {id}");
        let args: RestartArgs = parsed(&line);
        let request = request(&args.options, &plan(), &Clock::system());
        assert_eq!((request.cluster_id, request.server_id), (1, 2));
        assert_eq!((request.expected_server.as_str(), request.request_id.as_str()), ("10.0.0.2:2882", id));
        assert!(request.force && request.freeze_before_stop && request.expire_time.is_some());
        assert_eq!(request.accept_risks, [v1::Risk::QuorumLoss as i32]);
    }
}
