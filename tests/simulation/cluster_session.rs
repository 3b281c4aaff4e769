//! One session of a life of the service at an observer: asked and commanded as the real adapter asks, within its bounds and with
//! its errors, but without SQL for what only reads.

use std::sync::Arc;
use std::time::Duration;

use obsteward::oceanbase::{ANSWER_TIMEOUT, ClusterError, Endpoint, ErrorClass, READ_QUERY_TIMEOUT};
use obsteward::sim::state::Cluster;
use obsteward::sim::{ClientSession, Core, FaultKind, InProcessCluster, Micros, Scope, SqlRefusal};
use tokio::time::{sleep, timeout};

use crate::life::{Life, Point};

/// A statement that reads.
pub struct Query {
    /// What is read.
    pub view: &'static str,
    /// As faults know it, which look at how it begins.
    pub sql: &'static str,
    /// It can be read only while the sys tenant is led.
    pub stored: bool,
}

/// A query of a whole view.
macro_rules! query {
    ($name:ident, $view:literal, $stored:literal) => {
        pub const $name: Query =
            Query { view: $view, sql: concat!("SELECT * FROM oceanbase.", $view), stored: $stored };
    };
}

query!(SERVERS, "DBA_OB_SERVERS", true);
query!(ZONES, "DBA_OB_ZONES", true);
query!(TENANTS, "DBA_OB_TENANTS", true);
query!(UNITS, "DBA_OB_UNITS", true);
query!(LOCATIONS, "CDB_OB_LS_LOCATIONS", true);
query!(LOG_STREAMS, "__all_virtual_ls_status", true);
query!(LOG_STAT, "GV$OB_LOG_STAT", false);
query!(LS_INFO, "__all_virtual_ls_info", false);
query!(OWN_PARAMETERS, "V$OB_PARAMETERS", false);
query!(PARAMETERS, "GV$OB_PARAMETERS", false);
query!(ARBITRATION, "GV$OB_ARBITRATION_SERVICE_STATUS", false);
query!(COMPACTION, "CDB_OB_MAJOR_COMPACTION", true);
query!(BACKUP_JOBS, "CDB_OB_BACKUP_JOBS", true);
query!(SERVER_RESOURCES, "GV$OB_SERVERS", false);
query!(PROCESS_LIST, "GV$OB_PROCESSLIST", false);
query!(PARTICIPANTS, "GV$OB_TRANSACTION_PARTICIPANTS", false);

pub const WHO_ANSWERS: Query = Query { view: "host_ip() and rpc_port()", sql: "SELECT host_ip()", stored: false };
pub const CONNECTION_ID: Query = Query { view: "CONNECTION_ID()", sql: "SELECT CONNECTION_ID()", stored: false };

/// How often a wait looks whether the connection still stands.
const LOOK: Duration = Duration::from_millis(200);

/// Why a query has no answer.
enum Trouble {
    Refused(SqlRefusal),
    Lost,
}

pub struct ServiceSession {
    life: Arc<Life>,
    pub endpoint: Endpoint,
    pub cluster: InProcessCluster,
    /// The server that answers.
    pub server: i64,
    pub connection_id: i64,
    /// `None` once the connection is broken or a query was given up.
    session: Option<ClientSession>,
}

impl ServiceSession {
    pub fn new(life: Arc<Life>, endpoint: Endpoint, session: ClientSession) -> Self {
        let (cluster, server) = (session.cluster().clone(), session.server());
        let connection_id = i64::try_from(session.id()).unwrap();
        Self { life, endpoint, cluster, server, connection_id, session: Some(session) }
    }

    pub fn life(&self) -> &Life {
        &self.life
    }

    pub const fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// What stands before each question: its way there and back.
    pub async fn look(&self) {
        self.pass(Point::Look).await;
    }

    pub async fn pass(&self, point: Point) {
        self.life.pass(point, self.life.dice.latency()).await;
        self.cluster.tick();
    }

    /// Asks; whoever may ask reads the answer from the state. Now and then there is time between two queries of one question.
    pub async fn ask(&mut self, query: &Query) -> Result<(), ClusterError> {
        if self.life.dice.once_in(50) {
            self.look().await;
        }
        let context = || format!("reading {} at {}", query.view, self.endpoint);
        self.life.goes_on().await;
        let Some(mut session) = self.session.take() else { return Err(closed(&context())) };
        session.used();
        if is_answered_at_once(&session, query) {
            self.session = Some(session);
            return Ok(());
        }
        let answer = timeout(ANSWER_TIMEOUT, answered(&session, query)).await;
        self.life.goes_on().await;
        session.used();
        match answer {
            Ok(Ok(())) => {
                self.session = Some(session);
                Ok(())
            }
            Ok(Err(Trouble::Refused(refusal))) => {
                let error = ClusterError::answered(refusal.on_wire().0, &refusal.text, &context());
                self.session = Some(session);
                Err(error.at(&self.endpoint).of_view(query.view))
            }
            Ok(Err(Trouble::Lost)) => Err(lost(&context()).at(&self.endpoint)),
            Err(_) => Err(no_answer(&context(), ANSWER_TIMEOUT).at(&self.endpoint)),
        }
    }

    /// [`ServiceSession::ask`], and the answer.
    pub async fn read<T>(
        &mut self,
        query: &Query,
        answer: impl FnOnce(&Cluster, Micros) -> T,
    ) -> Result<T, ClusterError> {
        self.ask(query).await?;
        Ok(self.cluster.look(|core, now| answer(&core.cluster, now)))
    }

    pub fn state<T>(&self, look: impl FnOnce(&Core, Micros) -> T) -> T {
        self.cluster.look(look)
    }

    /// Sends a statement without rows, and waits at most `bound` for its answer.
    pub async fn command(&mut self, sql: &str, bound: Duration) -> Result<(), ClusterError> {
        let context = || format!("{sql} at {}", self.endpoint);
        self.life.goes_on().await;
        let Some(mut session) = self.session.take() else { return Err(closed(&context())) };
        let answer = timeout(bound, session.command(sql)).await;
        self.life.goes_on().await;
        match answer {
            Ok(Some(answer)) => {
                let answer = answer.map_err(|(number, text)| ClusterError::answered(number, &text, &context()));
                self.session = Some(session);
                answer
            }
            Ok(None) => Err(lost(&context())),
            Err(_) => Err(no_answer(&context(), bound)),
        }
    }
}

fn is_answered_at_once(session: &ClientSession, query: &Query) -> bool {
    let server = session.server();
    let well = session.cluster().look(|core, _| {
        core.faults.active.is_empty()
            && core.sessions.contains_key(&session.id())
            && (!query.stored || core.cluster.root_service().is_some())
    });
    well && !session.cluster().is_frozen(server)
}

async fn answered(session: &ClientSession, query: &Query) -> Result<(), Trouble> {
    let (cluster, server) = (session.cluster(), session.server());
    still_there(session, Duration::ZERO).await?;
    let scope = Scope { endpoint: server, statement: query.sql, targets: &[] };
    let micros = Micros::try_from(READ_QUERY_TIMEOUT.as_micros()).unwrap();
    let timed_out = || Err(Trouble::Refused(SqlRefusal::query_timeout(micros)));
    match cluster.with(|core, now| core.statement_fault(&scope, now)) {
        Some(FaultKind::Refused { number, text }) => return Err(Trouble::Refused(SqlRefusal::new(number, text))),
        Some(FaultKind::Hang) => {
            still_there(session, READ_QUERY_TIMEOUT).await?;
            return timed_out();
        }
        Some(FaultKind::Slow { delay_ms }) => still_there(session, Duration::from_millis(delay_ms)).await?,
        _ => {}
    }
    let mut waited = Duration::ZERO;
    while query.stored && cluster.look(|core, _| core.cluster.root_service().is_none()) {
        if waited >= READ_QUERY_TIMEOUT {
            return timed_out();
        }
        waited += LOOK;
        still_there(session, LOOK).await?;
    }
    Ok(())
}

/// Waits so long, and until the observer does anything at all; an error when the connection is lost meanwhile.
async fn still_there(session: &ClientSession, mut wait: Duration) -> Result<(), Trouble> {
    loop {
        session.cluster().thawed(session.server()).await;
        if !session.is_open() {
            return Err(Trouble::Lost);
        }
        if wait.is_zero() {
            return Ok(());
        }
        let step = wait.min(LOOK);
        sleep(step).await;
        session.cluster().tick();
        wait -= step;
    }
}

fn closed(context: &str) -> ClusterError {
    ClusterError::new(ErrorClass::Unknown, format!("{context}: the session is closed, open another one"))
}

fn lost(context: &str) -> ClusterError {
    ClusterError::new(ErrorClass::Unknown, format!("{context}: the connection was lost"))
}

fn no_answer(context: &str, bound: Duration) -> ClusterError {
    ClusterError::new(ErrorClass::Unknown, format!("{context}: no answer in {} s", bound.as_secs()))
}
