//! `obsteward stop`: shows what a stop would meet, stops there when a check blocks, and otherwise asks for the task.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::accept::{Accepted, send};
use super::client::Client;
use super::exit::{Exit, Goal};
use super::failure::Failure;
use super::on_server::OnServer;
use super::output::Output;
use super::planned::{PlanDecision, StopOptions, plan_first};
use super::times;
use crate::clock::Clock;
use crate::proto::v1;

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Which server.
    #[command(flatten)]
    on: OnServer,
    /// What is stopped: the service and then the process, or only the service
    #[arg(long = "type", value_enum, default_value_t = Kind::Process)]
    kind: Kind,
    /// Hold the server out of service until so long from now, drain and stop included, or until `tasks complete`, then start it
    /// again; --watch follows the task until the server is held
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    hold: Option<Duration>,
    /// How.
    #[command(flatten)]
    pub(super) options: StopOptions,
}

/// Kind of stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The service, then the process
    Process,
    /// The service only; the process keeps running
    Service,
}

impl Kind {
    const fn to_proto(self) -> v1::StopType {
        match self {
            Self::Process => v1::StopType::Process,
            Self::Service => v1::StopType::Service,
        }
    }
}

pub async fn run(args: StopArgs, client: &Client, output: &Output) -> Result<Exit, Failure> {
    let StopArgs { on, kind, options, hold } = &args;
    let plan = match plan_first("stop", on, kind.to_proto(), options, client, output).await? {
        PlanDecision::Over(exit) => return Ok(exit),
        PlanDecision::Proceed(plan) => plan,
    };
    let request = v1::StopServerRequest { reason: client.reason(), ..request(&args, &plan, &Clock::system()) };
    let request_id = request.request_id.clone();
    let call = async || Ok(client.servers().stop_server(request.clone()).await?.map(|answer| answer.task));
    let task = send(client, output, "stop server", &request_id, call).await?;
    let goal = if hold.is_some() { Goal::Held } else { Goal::Reached };
    Accepted { task, plan: Some(plan), request_id }.show_until(goal, client, output, options.watching).await
}

fn request(args: &StopArgs, plan: &v1::StopPlan, clock: &Clock) -> v1::StopServerRequest {
    v1::StopServerRequest {
        cluster_id: plan.cluster_id,
        server_id: plan.server_id,
        force: args.options.force,
        accept_risks: args.options.risks(),
        r#type: args.kind.to_proto() as i32,
        request_id: args.options.request_id(),
        // What the person was shown is what is stopped, or nothing.
        expected_server: plan.address.clone(),
        expire_time: args.options.expire_time(clock),
        freeze_before_stop: args.options.freeze,
        hold_until: args.hold.map(|hold| times::to_proto(clock.now().plus(hold))),
        drain: args.options.drain(),
        begin: args.options.begin.options(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::cli::parsed::parsed;
    use crate::cli::planned::tests::plan;

    fn args(line: &str) -> StopArgs {
        parsed(line)
    }

    #[test]
    fn the_request_is_for_what_was_shown_and_has_an_id() {
        let clock = Clock::system();
        let args = args("ob 2 --force --accept-risk quorum-loss --type service --expire-in 2h");
        let request = request(&args, &plan(), &clock);
        assert_eq!(request.expected_server, "10.0.0.2:2882");
        assert_eq!((request.force, request.r#type()), (true, v1::StopType::Service));
        assert_eq!(request.accept_risks, [v1::Risk::QuorumLoss as i32]);
        assert!(request.request_id.parse::<Uuid>().is_ok());
        let left = times::moment(request.expire_time.as_ref()).unwrap().since(clock.now());
        assert!(left > Duration::from_secs(7100) && left <= Duration::from_secs(7200));
    }

    #[test]
    fn a_given_id_is_kept_and_no_expiry_is_the_servers() {
        let id = "6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11";
        let of = |line: &str| request(&args(line), &plan(), &Clock::system());
        let request = of(&format!("ob 2 --request-id {id}"));
        assert_eq!((request.request_id.as_str(), request.expire_time), (id, None));
        assert_eq!((request.r#type(), request.freeze_before_stop), (v1::StopType::Process, false));
        assert!(of("ob 2 --freeze").freeze_before_stop && request.drain.is_none());
        assert_eq!(of("ob 2 --drain 5m").drain.unwrap().seconds, 300);
    }

    #[test]
    fn another_server_than_the_named_one_is_refused() {
        assert!(args("ob 10.0.0.2:2882").on.is(&plan().address).is_ok());
        assert_eq!(args("ob 10.0.0.3:2882").on.is(&plan().address).unwrap_err().exit(), Exit::Refused);
        assert!(args("ob 2").on.is(&plan().address).is_ok());
    }
}
