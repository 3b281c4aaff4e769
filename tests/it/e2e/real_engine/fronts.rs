//! What makes one engine a cluster of three observers: a front for each of them. The engine judges every statement: login,
//! grammar, privileges, types, time zone, session variables, KILL are its own, its answer goes back as it came. Played here is
//! only what a cluster would do with a statement that the engine has understood but cannot carry out alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use obsteward::clock::monotonic_now;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::engine::log_in;
use super::wire::{self, Agreed, Answer, Packet};

/// What the engine answers to a statement about servers that it has understood.
const UNDERSTOOD: u16 = 4016;
/// The same to a freeze of a server that it does not know.
const NOT_HERE: u16 = 4025;
/// A session's statement was ended by KILL, or by its own time.
const ENDED: [u16; 3] = [5066, 1317, 4012];

/// A statement that acts, and what the engine itself said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub session: u32,
    pub sql: String,
    /// Number of the engine's error.
    pub verdict: u16,
}

pub struct Fronts {
    engine: SocketAddr,
    /// Leaders stay where they are while this is set.
    held: watch::Sender<bool>,
    judged: Mutex<Vec<Judged>>,
    told: Mutex<Vec<Duration>>,
    denied: Mutex<usize>,
    odd: Mutex<Vec<String>>,
}

/// One client's session, with its session in the engine.
struct Session {
    fronts: Arc<Fronts>,
    ip: Ipv4Addr,
    id: u32,
    agreed: Agreed,
    engine: TcpStream,
}

impl Fronts {
    pub fn new(engine: SocketAddr) -> Arc<Self> {
        let held = watch::Sender::new(false);
        Arc::new(Self {
            engine,
            held,
            judged: Mutex::default(),
            told: Mutex::default(),
            denied: Mutex::default(),
            odd: Mutex::default(),
        })
    }

    /// The front of one observer, on a port that the system chose beside the engine.
    pub async fn open(self: &Arc<Self>, ip: Ipv4Addr) -> SocketAddr {
        let listener = TcpListener::bind((self.engine.ip(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let fronts = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Session::serve(Arc::clone(&fronts), ip, client));
            }
        });
        address
    }

    pub fn hold_leaders(&self, held: bool) {
        self.held.send_replace(held);
    }

    pub fn judged(&self) -> Vec<Judged> {
        self.judged.lock().unwrap().clone()
    }

    /// `ob_query_timeout` as the engine had it for each STOP SERVER.
    pub fn told(&self) -> Vec<Duration> {
        self.told.lock().unwrap().clone()
    }

    /// How many logins the engine refused.
    pub fn denied(&self) -> usize {
        *self.denied.lock().unwrap()
    }

    /// Statements that the engine did not understand, and what else should not happen.
    pub fn odd(&self) -> Vec<String> {
        self.odd.lock().unwrap().clone()
    }

    fn note_odd(&self, what: String) {
        self.odd.lock().unwrap().push(what);
    }

    /// Another server for every leader on this one, as soon as they may move.
    async fn move_leaders(self: Arc<Self>, ip: String) {
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        let mut root = log_in(self.engine).await.unwrap();
        let next = "SELECT svr_ip FROM __all_server WHERE stop_time = 0 AND status = 'ACTIVE' ORDER BY id LIMIT 1";
        let next: String = root.query_first(next).await.unwrap().expect("no server is left for the leaders");
        for change in [
            format!(
                "UPDATE __all_virtual_log_stat a JOIN (SELECT tenant_id, ls_id FROM __all_virtual_log_stat WHERE svr_ip = '{ip}' AND role = 'LEADER') b ON a.tenant_id = b.tenant_id AND a.ls_id = b.ls_id SET a.role = CASE a.svr_ip WHEN '{next}' THEN 'LEADER' ELSE 'FOLLOWER' END, a.proposal_id = a.proposal_id + 1"
            ),
            format!(
                "UPDATE __all_virtual_ls_meta_table a JOIN (SELECT tenant_id, ls_id FROM __all_virtual_ls_meta_table WHERE svr_ip = '{ip}' AND role = 1) b ON a.tenant_id = b.tenant_id AND a.ls_id = b.ls_id SET a.role = CASE a.svr_ip WHEN '{next}' THEN 1 ELSE 2 END, a.proposal_id = a.proposal_id + 1"
            ),
        ] {
            root.query_drop(change).await.unwrap();
        }
    }
}

impl Session {
    async fn serve(fronts: Arc<Fronts>, ip: Ipv4Addr, mut client: TcpStream) {
        let Some(mut session) = Self::log_in(fronts, ip, &mut client).await else { return };
        while let Some(command) = wire::read(&mut client).await {
            let answer = match command[4] {
                wire::COM_QUIT => return,
                wire::COM_QUERY => {
                    let sql = String::from_utf8_lossy(&command[5..]).into_owned();
                    session.query(command, &sql).await
                }
                wire::COM_PING => session.ask(command).await.map(|answer| answer.0),
                other => return session.fronts.note_odd(format!("command {other:#x}: only text is spoken here")),
            };
            let Some(answer) = answer else { return };
            if wire::write(&mut client, &answer).await.is_none() {
                return;
            }
        }
    }

    /// The engine greets and judges; the client's words go to it as they are.
    async fn log_in(fronts: Arc<Fronts>, ip: Ipv4Addr, client: &mut TcpStream) -> Option<Self> {
        let mut engine = TcpStream::connect(fronts.engine).await.ok()?;
        let greeting = wire::read(&mut engine).await?;
        let id = wire::session_id(&greeting);
        let mut root = log_in(fronts.engine).await.ok()?;
        root.query_drop(format!("REPLACE INTO obsteward_sessions VALUES ({id}, '{ip}')")).await.unwrap();
        wire::write(client, std::slice::from_ref(&greeting)).await?;
        let login = wire::read(client).await?;
        let agreed = Agreed::of(&greeting, &login);
        wire::write(&mut engine, &[login]).await?;
        loop {
            let said = wire::read(&mut engine).await?;
            let state = said[4];
            wire::write(client, &[said]).await?;
            match state {
                0 => return Some(Self { fronts, ip, id, agreed, engine }),
                0xff => {
                    *fronts.denied.lock().unwrap() += 1;
                    return None;
                }
                _ => wire::write(&mut engine, &[wire::read(client).await?]).await?,
            }
        }
    }

    async fn ask(&mut self, command: Packet) -> Option<Answer> {
        wire::write(&mut self.engine, &[command]).await?;
        self.agreed.answer(&mut self.engine).await
    }

    /// `None`: the session has ended, in the engine or here.
    async fn query(&mut self, command: Packet, sql: &str) -> Option<Vec<Packet>> {
        let answer = self.ask(command).await?;
        let verdict = answer.refusal();
        if let Some((number @ (1064 | 1149 | 1146 | 1054 | 1305 | 1193), words)) = &verdict {
            self.fronts.note_odd(format!("{sql}: {words} ({number})"));
        }
        let words = sql.to_ascii_uppercase();
        if let Some((number, _)) = verdict
            && words.starts_with("ALTER SYSTEM")
        {
            let judged = Judged { session: self.id, sql: sql.to_owned(), verdict: number };
            self.fronts.judged.lock().unwrap().push(judged);
            let quoted: Vec<&str> = sql.split('\'').collect();
            let named = |at: usize| quoted.get(at).copied().unwrap_or_default();
            let played = match number {
                UNDERSTOOD if words.contains(" STOP SERVER ") => self.stop(named(1), named(3)).await?,
                UNDERSTOOD if words.contains(" START SERVER ") => self.start(named(1)).await?,
                NOT_HERE if words.contains(" MINOR FREEZE SERVER") => self.freeze(named(1)).await?,
                _ => return Some(answer.0),
            };
            return Some(vec![played]);
        }
        // The engine's own address is that of no observer here.
        if words.contains("HOST_IP()") && answer.refusal().is_none() {
            let here = sql.replace("host_ip()", &format!("'{}'", self.ip));
            return Some(self.ask(wire::query(&here)).await?.0);
        }
        Some(answer.0)
    }

    /// The second and the third phase of STOP SERVER, the third on the client's own session in the engine: what that session
    /// is told of time, and KILL, count.
    async fn stop(&mut self, addr: &str, zone: &str) -> Option<Packet> {
        let mut root = log_in(self.fronts.engine).await.unwrap();
        let ip = addr.rsplit_once(':').map_or(addr, |(ip, _)| ip);
        let found: Option<String> =
            root.query_first(format!("SELECT zone FROM __all_server WHERE svr_ip = '{ip}'")).await.unwrap();
        match found {
            None => return Some(wire::error(4018, "Entry not exist")),
            Some(its) if its != zone => return Some(wire::error(4631, "Server zone not match")),
            Some(_) => {}
        }
        let other = format!("SELECT COUNT(*) FROM __all_server WHERE stop_time > 0 AND zone <> '{zone}'");
        if root.query_first::<i64, _>(other).await.unwrap() != Some(0) {
            return Some(wire::error(4660, "cannot stop server or stop zone in multiple zones"));
        }
        let mark = format!(
            "UPDATE __all_server SET stop_time = TIME_TO_USEC(NOW(6)), gmt_modified = NOW(6) WHERE svr_ip = '{ip}' AND stop_time = 0"
        );
        root.query_drop(mark).await.unwrap();
        tokio::spawn(Arc::clone(&self.fronts).move_leaders(ip.to_owned()));
        let limit: u64 = self.ask(wire::query("SELECT @@ob_query_timeout")).await?.cell()?.parse().unwrap();
        let limit = Duration::from_micros(limit);
        self.fronts.told.lock().unwrap().push(limit);
        let began = monotonic_now();
        let left = format!(
            "SELECT COUNT(*), SLEEP(0.2) FROM oceanbase.CDB_OB_LS_LOCATIONS WHERE role = 'LEADER' AND svr_ip = '{ip}'"
        );
        loop {
            let answer = self.ask(wire::query(&left)).await?;
            if let Some((number, words)) = answer.refusal() {
                if !ENDED.contains(&number) {
                    self.fronts.note_odd(format!("{left}: {words} ({number})"));
                }
                return answer.0.into_iter().next();
            }
            if answer.cell()? == "0" {
                return Some(wire::ok());
            }
            if monotonic_now() >= began + limit {
                return Some(wire::error(4652, "wait leader switch timeout"));
            }
        }
    }

    async fn start(&mut self, addr: &str) -> Option<Packet> {
        let ip = addr.rsplit_once(':').map_or(addr, |(ip, _)| ip);
        let mut root = log_in(self.fronts.engine).await.unwrap();
        let clear = format!("UPDATE __all_server SET stop_time = 0, gmt_modified = NOW(6) WHERE svr_ip = '{ip}'");
        root.query_drop(clear).await.unwrap();
        Some(wire::ok())
    }

    /// The engine freezes itself on the client's session; then the server's checkpoints are at this moment.
    async fn freeze(&mut self, addr: &str) -> Option<Packet> {
        let ip = addr.rsplit_once(':').map_or(addr, |(ip, _)| ip);
        let frozen = self.ask(wire::query("ALTER SYSTEM MINOR FREEZE SERVER = ('127.0.0.1:2882')")).await?;
        if frozen.refusal().is_none() {
            let mut root = log_in(self.fronts.engine).await.unwrap();
            let passed = format!(
                "UPDATE __all_virtual_ls_info SET checkpoint_scn = TIME_TO_USEC(NOW(6)) * 1000, weak_read_scn = TIME_TO_USEC(NOW(6)) * 1000 WHERE svr_ip = '{ip}'"
            );
            root.query_drop(passed).await.unwrap();
        }
        frozen.0.into_iter().next()
    }
}
