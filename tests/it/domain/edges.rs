//! The edge tables against a list written independently.

use obsteward::domain::edges::{subtask_edge, task_edge};
use obsteward::domain::event::{SubtaskOperation, SubtaskState, TaskOperation, TaskState};

const TASK_EDGES: &str = "
    PENDING REFUSED CANCEL, EXECUTE
    PENDING RUNNING EXECUTE
    RUNNING CANCELING CANCEL
    RUNNING FAILED EXECUTE, RETRY, ROLLBACK
    RUNNING REFUSED EXECUTE, RETRY
    RUNNING ROLLED_BACK ROLLBACK
    RUNNING SUCCESSFUL EXECUTE, RETRY
    CANCELING CANCELLED CANCEL
    CANCELING REFUSED CANCEL
    CANCELING ROLLED_BACK CANCEL
    CANCELING SUCCESSFUL CANCEL
    FAILED GIVEN_UP GIVE_UP
    FAILED RUNNING RETRY, ROLLBACK
    CANCELLED GIVEN_UP GIVE_UP
    CANCELLED RUNNING RETRY, ROLLBACK
";

const SUBTASK_EDGES: &str = "
    PENDING READY EXECUTE, RETRY, ROLLBACK
    READY PENDING RETRY, ROLLBACK
    READY RUNNING EXECUTE, RETRY, ROLLBACK, SKIP, ROLLBACK_SKIP
    RUNNING CANCELING CANCEL
    RUNNING FAILED EXECUTE, RETRY, ROLLBACK
    RUNNING PENDING ROLLBACK, ROLLBACK_SKIP
    RUNNING SUCCESSFUL EXECUTE, RETRY, SKIP
    CANCELING FAILED CANCEL
    CANCELING PENDING CANCEL
    CANCELING SUCCESSFUL CANCEL
    FAILED PENDING RETRY
    FAILED READY RETRY, ROLLBACK, SKIP, ROLLBACK_SKIP
    SUCCESSFUL PENDING RETRY
    SUCCESSFUL READY RETRY, ROLLBACK
";

fn listed(edges: &str, from: &str, to: &str, operation: &str) -> bool {
    edges.lines().filter_map(|line| line.trim().split_once(' ')).any(|(listed_from, rest)| {
        let (listed_to, operations) = rest.split_once(' ').expect("three columns");
        listed_from == from && listed_to == to && operations.split(", ").any(|listed| listed == operation)
    })
}

#[test]
fn the_edge_table_of_tasks_is_the_list() {
    for from in TaskState::ALL {
        for to in TaskState::ALL {
            for operation in TaskOperation::ALL {
                let expected = listed(TASK_EDGES, from.as_str(), to.as_str(), operation.as_str());
                assert_eq!(task_edge(*from, *to, *operation), expected, "{from} to {to} under {operation}");
            }
        }
    }
}

#[test]
fn the_edge_table_of_subtasks_is_the_list() {
    for from in SubtaskState::ALL {
        for to in SubtaskState::ALL {
            for operation in SubtaskOperation::ALL {
                let expected = listed(SUBTASK_EDGES, from.as_str(), to.as_str(), operation.as_str());
                assert_eq!(subtask_edge(*from, *to, *operation), expected, "{from} to {to} under {operation}");
            }
        }
    }
}
