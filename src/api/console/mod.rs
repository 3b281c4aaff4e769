//! The web console: pages for people, rendered here, over the same service as gRPC and REST and with the same permissions.
//! Translates and decides nothing; what it shows and changes goes through [`Guarded::call`] with a caller that its session
//! proves (docs/guide/console.md). One style sheet and one script belong to it, and nothing from elsewhere.

mod access;
mod access_forms;
mod answer;
mod approval;
mod asking;
mod assets;
mod audit;
mod changes;
mod cluster;
mod clusters;
mod cookies;
mod exchange;
mod fields;
mod frame;
pub mod graph;
mod graph_svg;
mod live;
mod log;
mod margin;
mod moments;
mod outage;
mod plan;
mod registration;
mod rollout;
mod routes;
mod same_origin;
mod sign_in;
mod start;
mod story;
mod subtasks;
mod target;
mod task;
mod tasks;
pub mod text;
mod turns;
mod verbs;
mod visit;

use std::sync::Arc;

use axum::Router;

use crate::access::session::Sessions;
use crate::api::auth::Gatekeeper;
use crate::api::console::moments::Moments;
use crate::api::console::story::Stories;
use crate::api::console::turns::Turns;
use crate::clock::Clock;
use crate::config::RestConfig;
use crate::domain::status::Risk;
use crate::service::Guarded;
use crate::watch::Hub;

pub use assets::{SCRIPT, STYLE};
pub use routes::PAGES;

/// What the console stands on.
pub struct Console {
    pub guarded: Guarded,
    /// For what is live.
    pub hub: Arc<Hub>,
    /// With the same sessions, which it proves.
    pub gatekeeper: Arc<Gatekeeper>,
    pub sessions: Arc<Sessions>,
    pub clock: Clock,
    /// Of the gateway beside which it is served.
    pub config: RestConfig,
    /// Bytes that a form may have.
    pub body_bytes: u64,
    /// Seconds in which it must arrive.
    pub arrival_seconds: u64,
}

/// The console, with what is computed of its settings once.
struct ConsoleState {
    console: Console,
    moments: Moments,
    /// Of what is live.
    turns: Turns,
    stories: Stories,
    /// Risks that may be accepted over this listener.
    risks: Vec<Risk>,
}

/// The pages of the console, and the REST gateway behind them for every other path.
pub fn router(console: Console, rest: Router) -> Router {
    let moments = Moments::new(&console.config.time_zone);
    // Which of them are none was told when the gateway was made.
    let risks = console.config.accepted_risks.iter().filter_map(|name| name.parse().ok()).collect();
    routes::router(
        &Arc::new(ConsoleState { console, moments, turns: Turns::default(), stories: Stories::default(), risks }),
        rest,
    )
}
