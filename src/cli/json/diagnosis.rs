//! All there is to know of a task, as one document to hand on. It is made of what the other documents show, none of which
//! holds a secret.

use serde::Serialize;

use super::access::AuditsDoc;
use super::cluster::ClusterDoc;
use super::error::ErrorDoc;
use super::event::EventDoc;
use super::log::SubtaskLogDoc;
use super::server::{PlanDoc, ServerDoc};
use super::task::TaskDoc;

/// See the module's head. What could not be read is absent, or is what came before it failed; `not_read` says why.
#[derive(Debug, Serialize)]
pub struct DiagnosisDoc {
    /// When it was made, by the clock of the machine that made it.
    pub made_at: String,
    /// What made it and what answered.
    pub versions: VersionsDoc,
    /// URL of the obsteward server.
    pub obsteward: String,
    /// The task when the rest began to be read.
    pub task: TaskDoc,
    /// Its events from the first up to that revision.
    pub events: Vec<EventDoc>,
    /// The log of each subtask, in execution order.
    pub logs: Vec<SubtaskLogDoc>,
    /// Its cluster as last recorded.
    pub cluster: Option<ClusterDoc>,
    /// Its server, with its process as just found on its host.
    pub server: Option<ServerDoc>,
    /// What the same stop would meet now; absent for a task that stops nothing.
    pub plan: Option<PlanDoc>,
    /// Who asked for what of it, newest first.
    pub audit: Option<AuditsDoc>,
    /// What could not be read, or not wholly.
    pub not_read: Vec<NotReadDoc>,
}

/// Versions of the programs.
#[derive(Debug, Serialize)]
pub struct VersionsDoc {
    /// The command line.
    pub client: &'static str,
    /// The server, which says it with each answer.
    pub server: Option<String>,
}

/// A part that could not be read.
#[derive(Debug, Serialize)]
pub struct NotReadDoc {
    /// Its key in the document.
    pub part: &'static str,
    /// Why.
    pub error: ErrorDoc,
}
