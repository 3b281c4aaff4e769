//! A MariaDB of one's own: in a folder of its own, on a loopback port that the system chose, ended with its handle.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use obsteward::clock::monotonic_now;

use super::PATIENCE;

pub struct Mariadb {
    child: Option<Child>,
    directory: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Mariadb {
    /// Makes its tables, starts it, and waits until it lets root in, who has no password.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        // Several at once are too much for a small machine, and fail.
        static INSTALLING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let installing = INSTALLING.lock().await;
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--skip-name-resolve", "--force", "--innodb-log-file-size=8M"])
            .args(as_root())
            .arg(format!("--datadir={}", data.display()))
            .output()
            .unwrap_or_else(|error| panic!("mariadb-install-db, of the package mariadb-server-core: {error}"));
        assert!(installed.status.success(), "{installed:?}");
        drop(installing);
        // Given back just before it is taken: nothing else can hand a socket to the server.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut this = Self { child: None, directory, address };
        this.restart().await;
        this
    }

    /// Starts it over the same data, once it was killed.
    pub async fn restart(&mut self) {
        let path = self.directory.path();
        let output = std::fs::File::options().create(true).append(true).open(path.join("output")).unwrap();
        let mut command = Command::new(program());
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--innodb-log-file-size=8M"]);
        command.args(as_root());
        command
            .arg(format!("--datadir={}", path.join("data").display()))
            .arg(format!("--socket={}", path.join("socket").display()))
            .arg(format!("--pid-file={}", path.join("pid").display()))
            .arg(format!("--port={}", self.address.port()));
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")));
        let deadline = monotonic_now() + PATIENCE;
        while let Err(error) = self.root().await {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let said = || std::fs::read_to_string(self.directory.path().join("output")).unwrap_or_default();
            assert!(ended.is_none(), "mariadbd ended, {ended:?}: {}", said());
            assert!(monotonic_now() < deadline, "mariadbd lets nobody in: {error}; {}", said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub async fn root(&self) -> mysql_async::Result<Conn> {
        log_in(self.address, "root").await
    }

    /// A new database, as the URL of a store.
    pub async fn database(&self, name: &str) -> String {
        create_database(self.address, name).await
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Started by root, as in containers, it refuses to run unless that is said.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

fn program() -> &'static str {
    if Path::new("/usr/sbin/mariadbd").exists() { "/usr/sbin/mariadbd" } else { "mariadbd" }
}

/// A new database of root, who has no password, as the URL of a store.
pub async fn create_database(address: SocketAddr, name: &str) -> String {
    let mut root = log_in(address, "root").await.unwrap();
    root.query_drop(format!("CREATE DATABASE {name}")).await.unwrap();
    format!("mysql://root@{address}/{name}")
}

/// A session of a user without a password.
pub async fn log_in(address: SocketAddr, user: &str) -> mysql_async::Result<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(user))
        .prefer_socket(false);
    Conn::new(options).await
}
