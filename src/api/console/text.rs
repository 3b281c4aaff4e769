//! The words of the console in both languages: one table, so that a text without its translation does not compile. Names of
//! operations and steps, evidence and logs are shown as the service and OceanBase write them. Pure.

use maud::{Markup, html};

use crate::api::rest::Language;
use crate::domain::event::{SubtaskState, TaskState};
use crate::domain::status::{ClusterStatus, ServerStatus, ZoneStatus};
use crate::service::views::CheckVerdict;

macro_rules! texts {
    ($($name:ident: $en:literal, $zh:literal;)+) => {
        /// Something that the console says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Text { $($name),+ }

        impl Text {
            /// In declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            pub const fn in_language(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$name, Language::English) => $en, (Self::$name, Language::Chinese) => $zh),+
                }
            }
        }
    };
}

texts! {
    // The frame.
    Places: "Pages", "页面导航";
    SkipToContent: "Skip to content", "跳到正文";
    SignIn: "Sign in", "登录";
    SignOut: "Sign out", "退出";
    User: "User", "用户";
    Password: "Password", "密码";
    SignInWrong: "User or password is wrong.", "用户名或密码错误。";
    GoOnSignedIn: "I am signed in already: go on", "已登录，继续";
    ConnectionLost: "Connection lost, trying again…", "连接已断开，正在重试……";
    SessionEnded: "Your session or permission has ended: reload the page.", "会话或权限已失效，请刷新页面。";
    NoPage: "No such page", "页面不存在";
    NoPageHere: "There is no page at this address.", "该地址没有页面。";
    NotDone: "Nothing was done", "未执行任何操作";
    FormIsForeign: "The form was not made for this session, or came from another site. Go back, reload the page and send it again.", "该表单不属于当前会话，或来自其他站点。请返回并刷新页面后重新提交。";
    Refused: "Refused", "已拒绝";
    ToClusters: "To the clusters", "返回集群列表";
    ToTasks: "To the tasks", "返回任务列表";
    Filter: "Filter", "筛选";
    Pages: "Pages of the list", "分页";
    NextPage: "Next page", "下一页";
    PreviousPage: "Previous page", "上一页";
    Found: "Found:", "共计：";
    Omitted: "Earlier ones, not shown:", "更早且未显示：";
    Yes: "yes", "是";
    In: "in", "剩余";

    // Clusters.
    Clusters: "Clusters", "集群";
    Cluster: "Cluster", "集群";
    ClusterNumber: "Cluster number", "集群 ID";
    NoClusters: "There is no cluster that you may see.", "没有您可以查看的集群。";
    Name: "Name", "名称";
    Status: "Status", "状态";
    Servers: "Servers", "服务器数";
    Server: "Server", "服务器";
    Zones: "Zones", "Zone 数";
    Zone: "Zone", "Zone";
    Version: "Version", "版本";
    LastRead: "Last read", "最近读取";
    GivenUpAfter: "Replicas are given up after", "副本永久下线时限";
    GivenUpAt: "Replicas given up at", "副本永久下线时间";
    LookNow: "Look at processes and leaders now", "立即查看进程和 Leader";
    AsRecorded: "As recorded", "查看已记录状态";
    TasksOfCluster: "Tasks of this cluster", "该集群的任务";
    Service: "Service", "服务";
    StoppedSince: "stopped since", "停止于";
    Process: "Process", "进程";
    NotLookedAt: "not looked at", "未查看";
    ProcessRuns: "runs, pid", "运行中，pid";
    ProcessAbsent: "absent", "不存在";
    ProcessAmbiguous: "cannot be told", "无法确定";
    HostUnreachable: "host does not answer", "主机无响应";
    RootService: "root service", "RootService";
    Leaders: "Leaders", "Leader 数";
    HeldUntil: "Held until", "保持停止至";
    PowerOff: "Powering the host off", "主机断电";
    Safe: "is safe", "安全";
    NotSafe: "is not safe", "不安全";
    NotKnown: "not known", "未知";
    IsBeingRead: "the cluster is being read; look again", "正在读取集群，请稍后查看";
    MayFailNow: "May still fail before a log stream loses its majority", "日志流失去多数派前还可故障";
    TakeOut: "Taking it out of service", "停止服务";
    CouldGo: "possible now", "现在可以";
    CouldNotGo: "not now", "现在不可以";
    PlanStop: "Stop or restart…", "停止或重启……";
    StartAction: "Start", "启动";
    StartWill: "Starts the process if it is not running, and lets the server serve again. A task at rest that stopped it is rolled back.", "如进程未运行则启动进程，并恢复服务；如存在停止该服务器的暂停任务，则回滚该任务。";

    // Plans.
    PlanOf: "Stop of", "停止计划";
    WhatToDo: "What to do", "操作";
    StopProcess: "Stop service and process", "停止服务和进程";
    StopService: "Stop the service only", "仅停止服务";
    Restart: "Restart", "重启";
    FreezeFirst: "Freeze first", "先转储";
    Force: "Force", "强制";
    AcceptRisk: "Accept the risk", "接受风险";
    PlanAgain: "Plan again", "重新计划";
    WouldPass: "A stop would be let through now.", "现在可以停止。";
    WouldBeRefused: "A stop would be refused now.", "现在停止会被拒绝。";
    Checks: "Checks", "检查项";
    Check: "Check", "检查项";
    Verdict: "Verdict", "结论";
    Evidence: "Evidence", "依据";
    Remedy: "Remedy", "处理建议";
    CanBeOverridden: "overridden by", "可通过以下方式忽略：";
    Overridden: "overridden", "已忽略";
    MayStillFail: "Further servers that may fail afterwards", "停止后还可容忍故障的服务器数";
    LeadersMove: "Leaders that move", "将切换的 Leader";
    TypeName: "To confirm, type", "请输入以下内容以确认：";
    Hold: "Take out until a deadline", "停止至指定时间";
    HoldMinutes: "Hold each server for at most, in minutes", "每台服务器最长保持（分钟）";
    HoldLacksEnd: "Say for how many minutes it is held, and plan again.", "请填写保持的分钟数并重新计划。";
    DrainSeconds: "Wait for clients, in seconds", "等待客户端（秒）";
    Clients: "Clients", "客户端";
    StartZoneWill: "Starts the process of each server of the zone that is not running, and lets the zone serve again.", "启动该 Zone 中未运行的服务器进程，并恢复该 Zone 的服务。";
    StartClusterWill: "Starts every process of the cluster, and lets everything in it serve again. A task at rest that stopped it is rolled back.", "启动集群的全部进程并恢复服务；如存在停止该集群的暂停任务，则回滚该任务。";
    FreezeAction: "Freeze", "转储";
    FreezeWill: "Writes out what the server holds in memory (MINOR FREEZE), so that a later start is quick. Nothing is taken out of service.", "将服务器内存中的数据落盘（MINOR FREEZE），以缩短后续启动时间。不影响服务。";

    // Rollouts.
    Rollout: "Rollout", "滚动操作";
    RolloutWill: "Takes servers out and brings them back, batch by batch, each batch in one zone, and goes on only while the cluster is healthy.", "按批次停止并恢复服务器，每批次位于同一 Zone，仅在集群健康时继续。";
    OnlyZones: "Only these zones", "仅以下 Zone";
    OnlyServers: "Only these servers", "仅以下服务器";
    MaxParallel: "Servers of a zone at the same time", "同一 Zone 内同时操作的服务器数";
    MinHealthySeconds: "Healthy before the next batch, in seconds", "下一批次前需保持健康（秒）";
    StopAfter: "Stop with this many failed servers", "失败服务器达到此数时停止";
    PauseAfter: "Pause behind this many servers", "完成此数量服务器后暂停";
    DeadlineHours: "Begin no batch later than in, in hours", "此时间后不再开始新批次（小时）";
    EachWouldPass: "The stop of each would be let through now.", "现在可以停止其中任意一台。";
    SomeWouldBeRefused: "The stop of some would be refused now.", "其中部分服务器现在停止会被拒绝。";
    Batch: "Batch", "批次";

    // Registration.
    Register: "Register a cluster", "注册集群";
    RegisterWill: "Connects to the cluster, proves its identity, and records it with its zones and servers.", "连接集群、验证其身份，并记录其 Zone 和服务器。";
    SettingsLink: "Settings…", "设置……";
    Settings: "Settings of", "设置：";
    Endpoints: "Endpoints, host:sql_port, one in a line", "连接地址，host:sql_port，每行一个";
    Login: "Login", "登录用户";
    PasswordStays: "Left empty, the password stays as it is.", "留空则密码保持不变。";
    ExpectedName: "Only if the cluster has this name", "仅当集群名称为";
    ChosenId: "Id, if it is to be a certain one", "指定集群 ID（可选）";
    ServerIds: "Ids of servers, ip:rpc_port=id, if they are to be certain ones", "指定服务器 ID，ip:rpc_port=id（可选）";
    DefaultHost: "Way to the hosts: grpc:PORT, ssh:[USER@][:PORT], local", "到主机的方式：grpc:端口、ssh:[用户@][:端口]、local";
    Hosts: "Ways to single hosts, ip=WAY, one in a line", "单个主机的方式，ip=方式，每行一个";
    ReadNow: "Read the cluster now", "立即读取集群";
    Deregister: "Forget the cluster", "移除集群";
    DeregisterWill: "The cluster goes from the inventory; its tasks stay readable.", "集群将从清单中移除，其任务仍可查看。";

    // Tasks.
    Tasks: "Tasks", "任务";
    Task: "Task", "任务";
    TaskNumber: "Task number", "任务 ID";
    AllTasks: "All tasks", "全部任务";
    Operation: "Operation", "操作名称";
    Target: "Target", "对象";
    State: "State", "状态";
    Creator: "Asked for by", "发起人";
    Trace: "Trace", "链路";
    Created: "Created", "创建时间";
    Ended: "Ended", "结束时间";
    Took: "Duration", "耗时";
    Reason: "Reason", "原因";
    ConsentUntil: "Irreversible steps begin until", "不可逆步骤最晚开始时间";
    AcceptedRisks: "Accepted risks", "已接受风险";
    Warning: "Warning", "警告";
    Graph: "Graph", "任务图";
    Steps: "Steps", "步骤";
    Story: "What happened", "事件";
    Attempt: "attempt", "执行次数";
    Effect: "effect", "影响";
    Log: "Log", "日志";
    NoLines: "The log is empty.", "日志为空。";
    WaitsFor: "Waits for", "正在等待";
    Progress: "Progress", "进度";
    NotMovedSince: "not moved since", "最近进展于";
    AtTheLatest: "until at the latest", "最晚至";
    Remaining: "remaining about", "预计剩余";
    WasAccepted: "The task was accepted", "任务已受理";
    Tries: "tries", "尝试";
    Tried: "result of", "结果";
    Learned: "learned", "记录";
    TakenOver: "Taken over by", "接管者";
    Asked: "asked for", "请求";
    HasApproved: "approved it", "已审批";
    ApprovalOver: "The approval does not hold any more", "审批已失效";

    // Verbs.
    AcceptsAgain: "This accepts again the risks", "此操作将再次接受风险";
    Retry: "Retry", "重试";
    RetryWill: "Runs the task again from the first step whose result no longer holds.", "从结果已失效的第一个步骤起重新执行任务。";
    Rollback: "Roll back", "回滚";
    RollbackWill: "Undoes what the task did, last step first, and closes it.", "按相反顺序撤销任务已执行的操作并关闭任务。";
    Skip: "Skip", "跳过";
    SkipWill: "Counts this step as done (while rolling back: as undone) without doing it, and goes on behind it.", "不执行该步骤而视为已完成（回滚时视为已撤销），并继续执行后续步骤。";
    Cancel: "Cancel", "取消";
    CancelPendingWill: "It does not begin any more, and is over.", "任务不再开始，直接结束。";
    CancelWill: "Ends what runs now. The task comes to rest, keeps its cluster, and waits for a retry, a rollback or to be given up.", "结束当前正在执行的步骤。任务进入暂停状态并继续占用集群，等待重试、回滚或放弃。";
    GiveUp: "Give up", "放弃";
    GiveUpWill: "Closes the task as it is and frees the cluster. What was done stays; nothing is undone.", "按现状关闭任务并释放集群。已执行的操作会保留，不会撤销。";
    CompleteHold: "Complete the hold", "结束保持";
    CompleteHoldWill: "Says that the work on the held server is done: it is started again now.", "表示对该服务器的工作已完成，立即重新启动。";
    Pause: "Pause", "暂停";
    PauseWill: "Begins no further batch; the batch that runs is finished.", "不再开始新的批次，正在执行的批次会完成。";
    Resume: "Resume", "继续";
    Approve: "Approve", "审批通过";
    ApproveWill: "Agrees with this plan. The task begins when nothing else stands against it; when its plan changes before that, it asks again.", "同意此计划。任务在没有其他阻碍时开始执行；若在此之前计划发生变化，需要重新审批。";
    WithdrawApproval: "Withdraw the approval", "撤回审批";
    WithdrawApprovalWill: "The task waits for an approval again.", "任务将重新等待审批。";
    ResumeWill: "Goes on with the next batch.", "继续执行下一批次。";

    // When tasks begin, and with whose consent.
    Changes: "Changes", "变更管控";
    ChangesAre: "While changes are frozen no task begins. What has begun goes on.", "冻结变更期间不会开始新的任务，已开始的任务继续执行。";
    NothingFrozen: "No change freeze is on.", "当前未冻结变更。";
    FreezeChanges: "Freeze changes", "冻结变更";
    ThawChanges: "Thaw", "解冻";
    ChangesFrozen: "Changes are frozen", "变更已冻结";
    EveryCluster: "Every cluster", "全部集群";
    WouldWait: "It may not begin now. Asked for, it waits as a task that holds nothing, and begins when it may.", "当前不能开始。提交后任务将排队等待（不占用集群），条件满足时开始。";
    ItsPlan: "What it would meet now", "查看当前计划";
    PlanDigest: "Digest of this plan", "计划摘要";
    NotYourOwn: "You asked for this task: somebody else has to approve it.", "该任务由您发起，须由其他人审批。";
    LookedAtAgain: "looked at again at the latest at", "最晚再次检查时间";
    ApprovedBy: "Approved by", "审批人";
    WasWithdrawn: "withdrawn", "已撤回";
    PlanHasChanged: "the plan has changed since", "计划已变化";
    ApproverMayNot: "may not act on the cluster any more", "审批人已无操作权限";
    ApprovalRanOut: "expired before the task began", "任务开始前审批已过期";

    // Audit and access.
    Audit: "Audit", "审计";
    NoRecords: "No record is of this kind.", "没有符合条件的记录。";
    Moment: "Time", "时间";
    Call: "Call", "调用";
    Result: "Result", "结果";
    Arguments: "Arguments", "参数";
    Accepted: "accepted", "已接受";
    OnlyRefused: "Only refused ones", "仅显示被拒绝的";
    Access: "Access", "访问控制";
    Users: "Users", "用户";
    Roles: "Roles", "角色";
    Role: "Role", "角色";
    Permissions: "Permissions", "权限";
    Certificates: "Certificates", "证书";
    PasswordSet: "Password set", "密码设置时间";
    Keys: "Access keys", "访问密钥";
    Key: "Key", "密钥";
    NoKeys: "There is no key that you may see.", "没有您可以查看的密钥。";
    Rotated: "Rotated", "轮换时间";
    Enabled: "enabled", "启用";
    Disabled: "disabled", "停用";
    Change: "Change", "修改";
    CreateUser: "Create a user", "创建用户";
    SetRoles: "Set roles", "设置角色";
    SetCertificates: "Set certificates", "设置证书";
    SetPassword: "Set password", "设置密码";
    EndSessions: "Sign out everywhere", "退出所有会话";
    CreateRole: "Create a role", "创建角色";
    CreateKey: "Create a key", "创建密钥";
    RotateKey: "Replace the secret", "轮换密钥";
    Enable: "Enable", "启用";
    Disable: "Disable", "停用";
    Delete: "Delete", "删除";
    Secret: "Secret", "密钥内容";
    SecretOnce: "The secret is shown now and never again: keep it.", "密钥内容仅显示这一次，请妥善保存。";
    NotAllShown: "Users and roles are shown to whoever may read all users.", "仅向有权读取全部用户者显示用户和角色。";

    // States.
    Running: "running", "运行中";
    Canceling: "being cancelled", "取消中";
    Failed: "failed", "失败";
    Cancelled: "cancelled", "已取消";
    Successful: "successful", "成功";
    RolledBack: "rolled back", "已回滚";
    TaskRefused: "refused", "已拒绝";
    GivenUp: "given up", "已放弃";
    Pending: "waits", "等待中";
    Ready: "ready", "就绪";
    Stopping: "stopping", "停止中";
    Stopped: "stopped", "已停止";
    Starting: "starting", "启动中";
    Restarting: "restarting", "重启中";
    Deleting: "being deleted", "删除中";
    Unavailable: "unavailable", "不可用";
    Operating: "operating", "操作中";
    Pass: "passes", "通过";
    Info: "to know", "提示";
    Warn: "warns", "警告";
    Block: "blocks", "阻止";
}

/// A word in the colour of a state, which the word of the protocol decides.
pub fn badge(word: &str, text: &str) -> Markup {
    html! { span .badge.{ "state-" (word) } { (text) } }
}

pub const fn task_state(language: Language, state: TaskState) -> &'static str {
    let text = match state {
        TaskState::Pending => Text::Pending,
        TaskState::Running => Text::Running,
        TaskState::Canceling => Text::Canceling,
        TaskState::Failed => Text::Failed,
        TaskState::Cancelled => Text::Cancelled,
        TaskState::Successful => Text::Successful,
        TaskState::RolledBack => Text::RolledBack,
        TaskState::Refused => Text::TaskRefused,
        TaskState::GivenUp => Text::GivenUp,
    };
    text.in_language(language)
}

pub const fn subtask_state(language: Language, state: SubtaskState) -> &'static str {
    let text = match state {
        SubtaskState::Pending => Text::Pending,
        SubtaskState::Ready => Text::Ready,
        SubtaskState::Running => Text::Running,
        SubtaskState::Canceling => Text::Canceling,
        SubtaskState::Failed => Text::Failed,
        SubtaskState::Successful => Text::Successful,
    };
    text.in_language(language)
}

pub const fn server_status(language: Language, status: ServerStatus) -> &'static str {
    let text = match status {
        ServerStatus::Running => Text::Running,
        ServerStatus::Stopping => Text::Stopping,
        ServerStatus::Stopped => Text::Stopped,
        ServerStatus::Starting => Text::Starting,
        ServerStatus::Restarting => Text::Restarting,
        ServerStatus::Deleting => Text::Deleting,
        ServerStatus::Unavailable => Text::Unavailable,
    };
    text.in_language(language)
}

pub const fn zone_status(language: Language, status: ZoneStatus) -> &'static str {
    let text = match status {
        ZoneStatus::Running => Text::Running,
        ZoneStatus::Stopped => Text::Stopped,
        ZoneStatus::Unavailable => Text::Unavailable,
        ZoneStatus::Operating => Text::Operating,
    };
    text.in_language(language)
}

pub const fn cluster_status(language: Language, status: ClusterStatus) -> &'static str {
    let text = match status {
        ClusterStatus::Running => Text::Running,
        ClusterStatus::Stopped => Text::Stopped,
        ClusterStatus::Operating => Text::Operating,
        ClusterStatus::Unavailable => Text::Unavailable,
    };
    text.in_language(language)
}

/// The verdict of a check, with its colour.
pub fn verdict_badge(language: Language, verdict: CheckVerdict) -> Markup {
    let (word, text) = match verdict {
        CheckVerdict::Pass => ("PASS", Text::Pass),
        CheckVerdict::Info => ("INFO", Text::Info),
        CheckVerdict::Warn => ("WARN", Text::Warn),
        CheckVerdict::Block => ("BLOCK", Text::Block),
    };
    badge(word, text.in_language(language))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_languages_are_two() {
        for text in Text::ALL {
            let (en, zh) = (text.in_language(Language::English), text.in_language(Language::Chinese));
            assert!(en.is_ascii() || en.contains('…'), "{en}");
            let same = [Text::Zone].contains(text);
            assert!(same || (en != zh && !zh.is_empty()), "{text:?}");
        }
    }
}
