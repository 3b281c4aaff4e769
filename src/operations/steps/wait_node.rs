//! Wait node: a subtask of the documented graphs at which parallel branches meet. It waits for nothing but its upstreams.

use async_trait::async_trait;

use crate::domain::decide::StepOutput;
use crate::engine::{Observation, Step, StepContext};

pub struct WaitNode;

#[async_trait]
impl Step for WaitNode {
    async fn look(&self, _: &StepContext) -> Observation {
        Observation::Reached { already_so: true, output: StepOutput::default(), writes: Vec::new() }
    }
}
