//! Pages of lists, and tasks as they stand in one (docs/ocp-v2.md#paging). Keys stand in alphabetical order, as in
//! OCP's samples.

use serde::Serialize;

use crate::api::rest::answer::{Failure, Reply};
use crate::api::rest::state::RestState;
use crate::api::rest::task_body::{ClusterBody, CreatorBody, MANUAL, PRIMARY, by_id, cluster, creator, finish_time};
use crate::api::rest::task_words::{operation, status, subtask_operation};
use crate::service::views::PageOf;
use crate::store::StoredTask;

/// A page of a list.
#[derive(Serialize)]
pub struct PageBody<T> {
    contents: Vec<T>,
    page: PageInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    number: u32,
    size: u32,
    total_elements: u64,
    total_pages: u64,
}

impl<T> PageBody<T> {
    pub fn new(contents: Vec<T>, total_elements: u64, number: u32, size: u32) -> Self {
        let total_pages = total_elements.div_ceil(u64::from(size.max(1)));
        Self { contents, page: PageInfo { number, size, total_elements, total_pages } }
    }
}

/// BasicTaskInstance.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BasicTask<'a> {
    cluster: ClusterBody<'a>,
    creator: CreatorBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_time: Option<String>,
    id: i64,
    name: &'a str,
    operation: &'static str,
    start_time: String,
    status: &'static str,
    subtasks: Vec<BasicSubtask<'a>>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct BasicSubtask<'a> {
    description: &'a str,
    id: i64,
    name: &'a str,
    operation: &'static str,
    status: &'static str,
}

pub fn page(state: &RestState, found: &PageOf<StoredTask>, number: u32, size: u32) -> Result<Reply, Failure> {
    let contents = found.items.iter().map(|stored| {
        let task = &stored.task;
        let subtasks = by_id(task).into_iter().map(|subtask| BasicSubtask {
            description: &subtask.spec.name,
            id: subtask.spec.id.get(),
            name: &subtask.spec.name,
            operation: subtask_operation(subtask.operation),
            status: subtask.state.as_str(),
        });
        BasicTask {
            cluster: cluster(task, Some(PRIMARY)),
            creator: creator(state, task),
            finish_time: finish_time(state, task),
            id: task.spec.id.get(),
            name: &task.spec.graph.operation.name,
            operation: operation(task.operation),
            start_time: state.format.timestamps.text(task.create_time),
            status: status(task.state),
            subtasks: subtasks.collect(),
            kind: MANUAL,
        }
    });
    Reply::data(&PageBody::new(contents.collect(), found.total, number, size))
}
