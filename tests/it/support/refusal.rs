//! What a refusal must leave as it was, and what a plan says of it.

use obsteward::proto::v1;
use obsteward::sim::Kind;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{PATIENCE, Stage};

/// Everything that a request which is refused must not change.
#[derive(Debug, PartialEq)]
pub struct Snapshot {
    servers: Vec<ServerLine>,
    pids: Vec<Option<u32>>,
    marks_and_signals: Vec<String>,
    statements_that_act: usize,
    free: bool,
}

/// A server as GetServer shows it, without what moves by itself.
#[derive(Debug, PartialEq)]
struct ServerLine {
    status: v1::ServerStatus,
    inner_status: v1::ServerInnerStatus,
    states: (v1::ServiceState, v1::ProcessState),
    stop_time: Option<prost_types::Timestamp>,
    pid: Option<i64>,
    operating_task_id: Option<i64>,
}

impl Snapshot {
    /// Without the statements, which the root service may have been sent and refused.
    pub fn without_statements(mut self) -> Self {
        self.statements_that_act = 0;
        self
    }
}

impl Stage {
    pub async fn snapshot(&self) -> Snapshot {
        let mut servers = Vec::new();
        for server in self.clients.list_servers(self.cluster_id).await {
            let server = self.clients.get_server(self.cluster_id, server.id).await;
            servers.push(ServerLine {
                states: (server.service_state(), server.process_state()),
                status: server.status(),
                inner_status: server.inner_status(),
                stop_time: server.stop_time,
                pid: server.pid,
                operating_task_id: server.operating_task_id,
            });
        }
        let acts = |kind: Kind| matches!(kind, Kind::MarkSet | Kind::MarkCleared | Kind::Signal | Kind::ProcessEnded);
        let record = self.sim.record();
        Snapshot {
            servers,
            pids: self.sim.servers().iter().map(|server| server.pid).collect(),
            marks_and_signals: record.iter().filter(|line| acts(line.kind)).map(|line| format!("{line:?}")).collect(),
            statements_that_act: self.statements_that_act().len(),
            free: self.is_free().await,
        }
    }

    /// The statements that act, in the order in which the cluster received them.
    pub fn statements_that_act(&self) -> Vec<String> {
        let statements = self.sim.recorded(Kind::Statement).into_iter().map(|line| line.text);
        statements.filter(|text| text.to_uppercase().starts_with("ALTER SYSTEM")).collect()
    }

    /// Every task that the store knows.
    pub async fn tasks(&self) -> Vec<v1::Task> {
        let request = v1::ListTasksRequest::default();
        self.clients.tasks.clone().list_tasks(request).await.unwrap().into_inner().tasks
    }

    /// Number of the store's last event, as the refusal of a watch beyond it tells.
    pub async fn head(&self) -> String {
        let request = v1::WatchTasksRequest { after_seq: Some(1 << 52), ..Default::default() };
        let status = match self.clients.tasks.clone().watch_tasks(request).await {
            Err(status) => status,
            Ok(stream) => stream.into_inner().message().await.unwrap_err(),
        };
        let (reason, metadata) = status_info(&status);
        assert_eq!(reason, "SEQ_AHEAD");
        metadata["head"].clone()
    }

    pub async fn retry(&self, task_id: i64) -> Result<v1::Task, Status> {
        let request = v1::RetryTaskRequest { task_id, ..Default::default() };
        Ok(self.clients.tasks.clone().retry_task(request).await?.into_inner().task.unwrap())
    }

    pub async fn give_up(&self, task_id: i64) -> Result<v1::Task, Status> {
        let request = v1::GiveUpTaskRequest { task_id, ..Default::default() };
        Ok(self.clients.tasks.clone().give_up_task(request).await?.into_inner().task.unwrap())
    }

    /// The task when it is closed, or panics when it is not in time.
    pub async fn closed(&self, task_id: i64) -> v1::Task {
        let until = v1::WatchUntil::Closed as i32;
        let request = v1::WatchTaskRequest { task_id, until, ..Default::default() };
        let mut stream = self.clients.tasks.clone().watch_task(request).await.unwrap().into_inner();
        let ended = tokio::time::timeout(PATIENCE, async { while stream.message().await.unwrap().is_some() {} });
        ended.await.unwrap_or_else(|_| panic!("task {task_id} was not closed"));
        self.clients.task(task_id).await
    }

    /// Waits until a running task says that it waits for this.
    pub async fn wait_progress(&self, task_id: i64, contains: &str) -> v1::SubtaskProgress {
        self.wait_progress_where(task_id, |progress| progress.message.contains(contains)).await
    }

    /// Waits until a running task shows progress like this.
    pub async fn wait_progress_where(
        &self,
        task_id: i64,
        is_it: impl Fn(&v1::SubtaskProgress) -> bool,
    ) -> v1::SubtaskProgress {
        let request = v1::WatchTaskRequest { task_id, progress: true, ..Default::default() };
        let mut stream = self.clients.tasks.clone().watch_task(request).await.unwrap().into_inner();
        let said = async {
            while let Some(message) = stream.message().await.unwrap() {
                if let Some(v1::watch_task_response::Kind::Progress(progress)) = message.kind
                    && is_it(&progress)
                {
                    return progress;
                }
            }
            panic!("task {task_id} ended without waiting for it");
        };
        tokio::time::timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("no progress is like that"))
    }

    /// The plan of the same stop.
    pub async fn plan(&self, request: &v1::StopServerRequest) -> v1::StopPlan {
        let request = v1::PlanStopServerRequest {
            cluster_id: request.cluster_id,
            server_id: request.server_id,
            force: request.force,
            accept_risks: request.accept_risks.clone(),
            r#type: request.r#type,
            freeze_before_stop: request.freeze_before_stop,
        };
        self.clients.servers.clone().plan_stop_server(request).await.unwrap().into_inner().plan.unwrap()
    }

    /// Asks for a stop and waits until the task rests or is closed.
    pub async fn stop_as(&self, request: v1::StopServerRequest) -> v1::Task {
        let task = self.clients.stop_with(request).await.unwrap();
        self.clients.at_rest(task.id).await
    }

    /// The task is refused by `check` with these words, as the plan foretold, and nothing has changed by either.
    pub async fn assert_refused(&self, request: v1::StopServerRequest, check: &str, words: &str) -> v1::Task {
        let before = self.snapshot().await;
        let plan = self.plan(&request).await;
        let first = blocking(&plan).into_iter().next();
        let first = first.unwrap_or_else(|| panic!("the plan does not block: {plan:#?}"));
        assert!(!plan.allowed);
        assert_eq!(first.name, check, "{plan:#?}");
        assert!(first.evidence.contains(words), "{first:#?}");
        assert_eq!(self.snapshot().await, before, "the plan of {check} changed something");
        let task = self.stop_as(request).await;
        assert_eq!(task.state(), v1::TaskState::Refused, "{task:#?}");
        assert!(task.finish_time.is_some() && task.allowed_verbs.is_empty(), "{task:#?}");
        let (code, metadata) = error_info(&task);
        assert_eq!(code, check);
        let error = task.error.as_ref().unwrap();
        assert!(error.message.contains(words), "{}", error.message);
        assert_eq!(metadata.get("check").map(String::as_str), Some(check), "{metadata:?}");
        if words.starts_with("-4") {
            assert!(metadata["root_service"].starts_with(words), "{metadata:?}");
        }
        let blocking: Vec<String> = blocking(&plan).into_iter().map(|check| check.name).collect();
        assert_eq!(metadata["checks_that_block"], blocking.join(","), "plan and task differ");
        assert_eq!(self.snapshot().await, before, "the refusal by {check} changed something");
        assert!(self.is_free().await);
        task
    }
}

/// The checks of a plan that refuse the stop.
pub fn blocking(plan: &v1::StopPlan) -> Vec<v1::PlanCheck> {
    let refuses = |check: &&v1::PlanCheck| check.verdict() == v1::Verdict::Block && !check.overridden;
    plan.checks.iter().filter(refuses).cloned().collect()
}

/// Reason and metadata of a task's error.
pub fn error_info(task: &v1::Task) -> (String, std::collections::HashMap<String, String>) {
    use prost::Message;
    let error = task.error.as_ref().unwrap_or_else(|| panic!("task without an error: {task:#?}"));
    status_info(&Status::with_details(Code::from(error.code), error.message.clone(), error.encode_to_vec().into()))
}

/// Reason and metadata of a call's error.
pub fn status_info(status: &Status) -> (String, std::collections::HashMap<String, String>) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    (info.reason.clone(), info.metadata.clone())
}
