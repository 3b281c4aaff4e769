//! What takes something out of service: the table of these operations, which of them there is for what, which options each has,
//! and the calls that plan and ask for it. One way for servers, zones and clusters.

use std::time::Duration;

use uuid::Uuid;

use crate::api::console::ConsoleState;
use crate::api::console::answer::Problem;
use crate::api::console::asking::{made, moment, seconds};
use crate::api::console::fields::Fields;
use crate::api::console::start;
use crate::api::console::target::Target;
use crate::api::console::text::Text;
use crate::api::console::visit::Visit;
use crate::clock::Timestamp;
use crate::domain::call::Call;
use crate::domain::clients::LONGEST_DRAIN;
use crate::domain::ids::ServerAddr;
use crate::domain::refusal::Refusal;
use crate::domain::status::{Risk, StopType};
use crate::service::views::StopPlanView;
use crate::service::{
    OnCluster, OnZone, PlanStopCluster, PlanStopServer, PlanStopZone, RestartCluster, RestartServer, RestartZone,
    StopCluster, StopServer, StopZone,
};
use crate::store::StoredTask;

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    StopProcess,
    StopService,
    Restart,
    /// Out until a deadline, and back.
    Hold,
}

impl Outage {
    const ALL: [Self; 4] = [Self::StopProcess, Self::StopService, Self::Restart, Self::Hold];

    /// Those that there are of this.
    pub fn of(target: &Target) -> impl Iterator<Item = Self> {
        let fits = move |outage: &Self| match (outage, target) {
            (Self::StopProcess | Self::Restart, _) => true,
            (Self::StopService | Self::Hold, Target::Server(..)) => true,
            (Self::StopService | Self::Hold, Target::Zone(..) | Target::Cluster(_)) => false,
        };
        Self::ALL.into_iter().filter(fits)
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::StopProcess => "stop",
            Self::StopService => "service",
            Self::Restart => "restart",
            Self::Hold => "hold",
        }
    }

    pub const fn text(self) -> Text {
        match self {
            Self::StopProcess => Text::StopProcess,
            Self::StopService => Text::StopService,
            Self::Restart => Text::Restart,
            Self::Hold => Text::Hold,
        }
    }

    /// What it needs.
    pub const fn call(self, target: &Target) -> Call {
        match (self, target) {
            (Self::Restart, Target::Server(..)) => Call::RestartServer,
            (Self::StopProcess | Self::StopService | Self::Hold, Target::Server(..)) => Call::StopServer,
            (Self::Restart, Target::Zone(..)) => Call::RestartZone,
            (Self::StopProcess | Self::StopService | Self::Hold, Target::Zone(..)) => Call::StopZone,
            (Self::Restart, Target::Cluster(_)) => Call::RestartCluster,
            (Self::StopProcess | Self::StopService | Self::Hold, Target::Cluster(_)) => Call::StopCluster,
        }
    }

    const fn stop_type(self) -> StopType {
        match self {
            Self::StopProcess | Self::Restart | Self::Hold => StopType::Process,
            Self::StopService => StopType::Service,
        }
    }

    /// Risks that it has.
    const fn risks(self, target: &Target) -> &'static [Risk] {
        match (self, target) {
            (_, Target::Cluster(_)) => Risk::OF_CLUSTER,
            (Self::Hold, Target::Server(..) | Target::Zone(..)) => Risk::OF_SERVER,
            (Self::StopProcess | Self::StopService | Self::Restart, Target::Server(..) | Target::Zone(..)) => {
                Risk::OF_PART
            }
        }
    }

    /// Whether clients are waited for and a freeze can come first: a whole cluster is frozen anyway, and has no other servers for
    /// its clients.
    fn is_gentle(self, target: &Target) -> bool {
        self.stop_type() == StopType::Process && !matches!(target, Target::Cluster(_))
    }
}

/// Risks that may be accepted here for something of this kind, whichever operation it is.
pub fn risks_of<'a>(state: &'a ConsoleState, target: &'a Target) -> impl Iterator<Item = Risk> + 'a {
    let is_of = |risk: &Risk| Outage::of(target).any(|outage| outage.risks(target).contains(risk));
    state.risks.iter().copied().filter(is_of)
}

/// What was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub outage: Outage,
    pub force: bool,
    pub risks: Vec<Risk>,
    pub freeze: bool,
    pub drain: Duration,
    /// `None`: it is no hold, or its end is not chosen yet.
    pub hold_until: Option<Timestamp>,
}

impl Chosen {
    /// From the query of a plan, or from the form that repeats it. What the operation does not have is left out.
    pub fn read(fields: &Fields, state: &ConsoleState, target: &Target) -> Result<Self, Refusal> {
        let word = fields.get("action").unwrap_or(Outage::StopProcess.word());
        let outage = Outage::of(target).find(|outage| outage.word() == word);
        let outage = outage.ok_or_else(|| Refusal::field("action", "is not known, choose one of the list"))?;
        let gentle = outage.is_gentle(target);
        let drain = seconds(fields, "drain_seconds", LONGEST_DRAIN)?.unwrap_or_default();
        let until = moment(fields, "hold_until", "hold_minutes", 60, state.console.clock.now())?;
        Ok(Self {
            outage,
            force: fields.get("force").is_some(),
            risks: accepted(fields, state, outage.risks(target))?,
            freeze: gentle && fields.get("freeze").is_some(),
            drain: if gentle { drain } else { Duration::ZERO },
            hold_until: until.filter(|_| outage == Outage::Hold),
        })
    }

    /// As the form repeats it.
    pub fn hidden(&self) -> Vec<(&'static str, String)> {
        let mut hidden = vec![("action", self.outage.word().to_owned())];
        hidden.extend(self.force.then(|| ("force", "1".to_owned())));
        hidden.extend(self.freeze.then(|| ("freeze", "1".to_owned())));
        hidden.extend((!self.drain.is_zero()).then(|| ("drain_seconds", self.drain.as_secs().to_string())));
        hidden.extend(self.hold_until.map(|until| ("hold_until", until.as_micros().to_string())));
        hidden.extend(self.risks.iter().map(|risk| ("risk", risk.to_string())));
        hidden
    }
}

/// Risks that are accepted, each of `of` and one that may be accepted over this listener; sorted, without repeats.
pub fn accepted(fields: &Fields, state: &ConsoleState, of: &[Risk]) -> Result<Vec<Risk>, Refusal> {
    let risk = |word: &str| {
        let risk = word.parse::<Risk>().map_err(|unknown| Refusal::field("risk", unknown.to_string()))?;
        match (state.risks.contains(&risk), of.contains(&risk)) {
            (false, _) => Err(Refusal::RiskNotAcceptedHere { setting: "rest.accepted_risks" }),
            (true, false) => {
                let names = Risk::names(of);
                Err(Refusal::field("risk", format!("{risk} is no risk of this operation, accept only {names}")))
            }
            (true, true) => Ok(risk),
        }
    };
    let mut risks = fields.all("risk").map(risk).collect::<Result<Vec<_>, _>>()?;
    risks.sort_unstable();
    risks.dedup();
    Ok(risks)
}

/// What it would meet now.
pub async fn plan(
    state: &ConsoleState,
    visit: &Visit,
    target: &Target,
    chosen: &Chosen,
) -> Result<StopPlanView, Refusal> {
    let (guarded, caller) = (&state.console.guarded, &visit.caller);
    let Chosen { outage, force, risks, freeze, .. } = chosen.clone();
    match target.clone() {
        Target::Server(cluster, server) => {
            let (accepted_risks, stop_type, freeze_before_stop) = (risks, outage.stop_type(), freeze);
            let call = PlanStopServer { cluster, server, force, accepted_risks, stop_type, freeze_before_stop };
            guarded.call(caller, call).await
        }
        Target::Zone(cluster, zone) => {
            let call = PlanStopZone { cluster, zone, force, accepted_risks: risks, freeze_before_stop: freeze };
            guarded.call(caller, call).await
        }
        Target::Cluster(cluster) => {
            guarded.call(caller, PlanStopCluster { cluster, force, accepted_risks: risks }).await
        }
    }
}

/// Records the task. `typed`: what names the target, which must be right.
pub async fn begin(
    state: &ConsoleState,
    visit: &Visit,
    target: Target,
    chosen: Result<Chosen, Refusal>,
    typed: String,
) -> Result<StoredTask, Problem> {
    let request_id = visit.form.parsed::<Uuid>("request_id", "a UUID");
    let whole = chosen.and_then(|chosen| Ok((chosen, request_id?)));
    let restarts = whole.as_ref().is_ok_and(|(chosen, _)| chosen.outage == Outage::Restart);
    match target {
        Target::Server(cluster, server) => {
            let asked = whole.and_then(|(chosen, request_id)| {
                let address = typed
                    .parse::<ServerAddr>()
                    .map_err(|_| Refusal::field("address", "is not the address of the server, type it as ip:port"))?;
                if chosen.outage == Outage::Hold && chosen.hold_until.is_none() {
                    return Err(Refusal::field("hold_minutes", "is missing, say for how long the server is held"));
                }
                Ok(StopServer {
                    cluster,
                    server,
                    force: chosen.force,
                    accepted_risks: chosen.risks,
                    stop_type: chosen.outage.stop_type(),
                    freeze_before_stop: chosen.freeze,
                    hold_until: chosen.hold_until,
                    drain: chosen.drain,
                    request_id,
                    repeat_by_arguments: false,
                    expected_server: Some(address),
                    expire_time: None,
                    begin: start::begin(visit),
                })
            });
            match restarts {
                true => made(state, visit, asked.map(RestartServer)).await,
                false => made(state, visit, asked).await,
            }
        }
        Target::Zone(cluster, zone) => {
            let asked = whole.and_then(|(chosen, request_id)| {
                if typed != zone.as_str() {
                    return Err(Refusal::field("name", "is not the name of the zone, type it as it is shown"));
                }
                Ok(OnZone {
                    cluster,
                    zone,
                    request_id,
                    repeat_by_arguments: false,
                    force: chosen.force,
                    accepted_risks: chosen.risks,
                    freeze_before_stop: chosen.freeze,
                    drain: chosen.drain,
                    expire_time: None,
                    begin: start::begin(visit),
                })
            });
            match restarts {
                true => made(state, visit, asked.map(RestartZone)).await,
                false => made(state, visit, asked.map(StopZone)).await,
            }
        }
        Target::Cluster(cluster) => {
            let asked = whole.and_then(|(chosen, request_id)| {
                if typed.is_empty() {
                    return Err(Refusal::field("name", "is missing, type that of the cluster"));
                }
                Ok(OnCluster {
                    cluster,
                    expected_name: Some(typed),
                    request_id,
                    repeat_by_arguments: false,
                    force: chosen.force,
                    accepted_risks: chosen.risks,
                    expire_time: None,
                    begin: start::begin(visit),
                })
            });
            match restarts {
                true => made(state, visit, asked.map(RestartCluster)).await,
                false => made(state, visit, asked.map(StopCluster)).await,
            }
        }
    }
}
