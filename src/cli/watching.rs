//! A task of which something was just asked: it is shown, and followed to its end when that is wanted.

use std::time::Duration;

use clap::Args;

use super::client::Client;
use super::exit::{Exit, Goal};
use super::failure::Failure;
use super::follow::{FollowOptions, follow};
use super::lines::{next_steps, result_line, target};
use super::output::{Format, Output};
use super::times;
use super::view::{Phase, phase};
use crate::proto::v1;

/// Options of every command that a task comes of.
#[derive(Clone, Copy, Debug, Args)]
pub struct Watching {
    /// Follow the task to its end
    #[arg(long)]
    pub watch: bool,
    /// With --watch: stop following after this time, with exit code 4; the task goes on
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = times::parse_duration)]
    pub timeout: Option<Duration>,
}

impl Watching {
    /// Shows the task to a person (`what`: what it does now, may be empty) and follows it. Events after `after_revision` are
    /// shown, or all; a live list begins with the task as it is. `goal`: which end is the one that was asked for.
    pub async fn go_on(
        self,
        client: &Client,
        output: &Output,
        task: v1::Task,
        what: &str,
        after_revision: Option<i64>,
        goal: Goal,
    ) -> Result<Exit, Failure> {
        let open = phase(task.state()) == Phase::Open;
        let pending = task.state() == v1::TaskState::Pending;
        let what = if what.is_empty() && pending { "is PENDING" } else { what };
        match output.format {
            Format::Text if open || self.watch => {
                let what = if what.is_empty() { String::new() } else { format!(" {what}") };
                output.line(&format!("task {} {}{what}: {}", task.id, task.name, target(&task)))?;
            }
            Format::Text => output.line(&result_line(&task))?,
            Format::Json => {}
        }
        if !self.watch {
            if output.format == Format::Text {
                let follow = format!("follow it with: obsteward watch {}", task.id);
                let waits = format!("see what it waits for with: obsteward tasks show {}", task.id);
                let notes = match (open, pending) {
                    (true, true) => vec![waits, follow],
                    (true, false) => vec![follow],
                    (false, _) => next_steps(&task),
                };
                notes.iter().for_each(|note| output.note(note));
            }
            return Ok(Exit::Done);
        }
        let (task_id, timeout) = (task.id, self.timeout);
        let after_revision = after_revision.filter(|_| !output.live);
        let options =
            FollowOptions { seed: Some(task), after_revision, progress: true, timeout, goal, until_closed: false };
        Ok(follow(client, output, task_id, options).await?.exit)
    }
}
