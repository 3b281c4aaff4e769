//! The command line: arguments, dispatch, and exit codes. One file per command; commands talk to the server through
//! `client` only, and write through `output` only. Knows the protocol and nothing of the server's insides.

mod accept;
mod advice;
mod any_server;
mod audit;
mod begin;
mod check_config;
pub mod client;
mod clusters;
mod completions;
#[cfg(feature = "sim")]
mod demo;
mod diagnose;
mod error;
pub mod exit;
pub mod failure;
pub mod follow;
mod keys;
mod lines;
mod listed;
mod live;
mod login;
mod man;
mod notifications;
mod on_server;
pub mod output;
mod pages;
#[cfg(test)]
mod parsed;
mod plain;
mod plan;
mod planned;
mod replicas;
mod resolve;
mod restart;
mod resume;
mod retry;
mod roles;
mod rollout;
mod secret;
mod serve;
mod servers;
mod stop;
mod store;
mod style;
mod table;
mod tasks;
mod times;
mod users;
pub mod view;
mod watch;
mod watch_line;
mod watching;
mod words;
mod yaml;
mod zones;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use client::{Client, Target};
use exit::Exit;
use failure::Failure;
use login::LoginOptions;
use output::{Form, Output};

use crate::agent::AgentArgs;
use crate::config::{LogConfig, TracesConfig, TracesProtocol};
use crate::domain::reason::Reason;

/// Time for the collector of traces to take the last spans when the process ends.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Takes OceanBase servers out of service safely
#[derive(Debug, Parser)]
#[command(name = "obsteward", version, max_term_width = 100, after_help = exit::HELP, subcommand_required = true)]
pub struct Cli {
    /// What holds for every command that talks to a server.
    #[command(flatten)]
    pub global: GlobalOptions,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command that talks to a server. Their ids are prefixed, because clap keeps an argument of a command
/// that has the id of a global one apart from it only by its type, and panics.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalOptions {
    /// URL of the obsteward server; of several replicas, parted by commas, whichever answers is asked
    #[arg(
        id = "global_server",
        long = "server",
        global = true,
        value_name = "URL",
        env = "OBSTEWARD_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:50051"
    )]
    pub server: String,
    /// How results are written to standard output: `wide` shows more columns of lists, `yaml` is the same as `json`
    #[arg(
        id = "global_output",
        long = "output",
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t = Form::Table
    )]
    pub output: Form,
    /// Longest wait for a connection
    #[arg(
        id = "global_connect_timeout",
        long = "connect-timeout",
        global = true,
        value_name = "DURATION",
        default_value = "5s",
        value_parser = times::parse_duration
    )]
    pub connect_timeout: Duration,
    /// Why a change is asked for, for task, audit and log, for example the number of a ticket
    #[arg(
        id = "global_reason",
        long = "reason",
        global = true,
        value_name = "TEXT",
        value_parser = clap::value_parser!(Reason)
    )]
    pub reason: Option<Reason>,
    /// Who calls.
    #[command(flatten)]
    pub login: LoginOptions,
    /// Certificate authority that the server must be proven by, in PEM, for https
    #[arg(id = "global_ca_file", long = "ca-file", global = true, value_name = "FILE", env = "OBSTEWARD_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Own certificate in PEM, for mutual TLS; needs --key-file
    #[arg(
        id = "global_cert_file",
        long = "cert-file",
        global = true,
        value_name = "FILE",
        env = "OBSTEWARD_CERT_FILE"
    )]
    pub cert_file: Option<PathBuf>,
    /// Key of the own certificate, in PEM
    #[arg(id = "global_key_file", long = "key-file", global = true, value_name = "FILE", env = "OBSTEWARD_KEY_FILE")]
    pub key_file: Option<PathBuf>,
}

impl GlobalOptions {
    /// The connection that these options describe.
    pub fn client(&self) -> Result<Client, Failure> {
        let identity = match (&self.cert_file, &self.key_file) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => return Err(Failure::Usage("--cert-file needs --key-file".to_owned())),
            (None, Some(_)) => return Err(Failure::Usage("--key-file needs --cert-file".to_owned())),
        };
        let client = Client::new(&Target {
            url: self.server.clone(),
            connect_timeout: self.connect_timeout,
            ca_file: self.ca_file.clone(),
            identity,
        })?;
        let client = client.for_reason(self.reason.as_ref().map(ToString::to_string).unwrap_or_default());
        match self.login.user()? {
            Some(user) => client.logged_in(self.login.insecure_plaintext, || self.login.login(user)),
            None => Ok(client),
        }
    }
}

/// The commands. A command that is no client (`serve`, `demo`, `sim`, `agent`) is a variant here and an arm of
/// [`dispatch`]; its long options must differ from those of [`GlobalOptions`].
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Serve(serve::ServeArgs),
    /// Check the configuration of a service without starting it, and say what is worth knowing of it
    CheckConfig(serve::ServeArgs),
    /// Run the agent on a database host
    Agent(crate::agent::AgentArgs),
    /// See it work: a simulated cluster, agents, the service, and one server stopped
    #[cfg(feature = "sim")]
    Demo(demo::DemoArgs),
    /// Run a simulated OceanBase cluster: real processes and ports, no OceanBase
    #[cfg(feature = "sim")]
    Sim(crate::sim::command::SimArgs),
    /// Register clusters and see what is known of them
    #[command(subcommand)]
    Clusters(clusters::ClustersCommand),
    /// See the servers of a cluster
    #[command(subcommand)]
    Servers(servers::ServersCommand),
    /// Stop, start and restart zones with all their servers
    #[command(subcommand)]
    Zones(zones::ZonesCommand),
    /// Restart or hold the servers of a cluster one batch after the other: show the plan, then begin unless a check blocks
    #[command(after_help = exit::HELP)]
    Rollout(rollout::RolloutArgs),
    /// Take a server out of service: show the plan, then stop it unless a check blocks
    #[command(
        after_help = exit::HELP,
        override_usage = "obsteward stop [OPTIONS] <CLUSTER> <SERVER>\n       \
            obsteward stop [OPTIONS] --cluster-id <ID> --server-id <ID>"
    )]
    Stop(stop::StopArgs),
    /// Bring a server back: its process when there is none, then its service
    ///
    /// When a failed or cancelled task that stopped this very server holds the cluster, that task is rolled back instead.
    #[command(
        after_help = exit::HELP,
        override_usage = "obsteward start [OPTIONS] <CLUSTER> <SERVER>\n       \
            obsteward start [OPTIONS] --cluster-id <ID> --server-id <ID>"
    )]
    Start(plain::PlainArgs),
    /// Stop a server and start it again: show the plan of the stop, then restart it unless a check blocks
    #[command(
        after_help = exit::HELP,
        override_usage = "obsteward restart [OPTIONS] <CLUSTER> <SERVER>\n       \
            obsteward restart [OPTIONS] --cluster-id <ID> --server-id <ID>"
    )]
    Restart(restart::RestartArgs),
    /// Freeze a server (MINOR FREEZE), so that its next stop or crash leaves it less to replay
    #[command(
        after_help = exit::HELP,
        override_usage = "obsteward freeze [OPTIONS] <CLUSTER> <SERVER>\n       \
            obsteward freeze [OPTIONS] --cluster-id <ID> --server-id <ID>"
    )]
    Freeze(plain::PlainArgs),
    /// See all tasks at work, or follow one, or all of a cluster, as they happen
    #[command(after_help = exit::HELP)]
    Watch(watch::WatchArgs),
    /// See tasks and their logs, retry them, roll them back or give them up
    #[command(subcommand)]
    Tasks(tasks::TasksCommand),
    /// Say who may call: users with their passwords, certificates and roles
    #[command(subcommand, visible_alias = "users")]
    User(users::UserCommand),
    /// Make access keys for programs that sign their requests (AK/SK)
    #[command(subcommand, visible_alias = "keys")]
    Key(keys::KeyCommand),
    /// Say what a role may do
    #[command(subcommand, visible_alias = "roles")]
    Role(roles::RoleCommand),
    /// See who asked for what, and how it ended
    Audit(audit::AuditArgs),
    /// See which processes of the service are over the store, and what they do
    Replicas,
    /// See who is notified of what people wait for, and how that goes
    Notifications,
    /// Write the completions of a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual page, or those of all commands into a directory
    Man(man::ManArgs),
    /// Back the store up, or say that a backup was restored
    #[command(subcommand)]
    Store(store::StoreCommand),
}

impl Command {
    /// Whether it changes something, or runs something: then it goes on to its own outcome, even when nobody reads its output.
    fn changes(&self) -> bool {
        match self {
            Self::Serve(_) | Self::Agent(_) | Self::Start(_) | Self::Freeze(_) | Self::Store(_) => true,
            #[cfg(feature = "sim")]
            Self::Demo(_) | Self::Sim(_) => true,
            Self::Stop(args) => !args.options.plan,
            Self::Restart(args) => !args.options.plan,
            Self::Rollout(args) => !args.plan,
            Self::Man(args) => args.writes_files(),
            Self::Clusters(command) => command.changes(),
            Self::Zones(command) => command.changes(),
            Self::Tasks(command) => command.changes(),
            Self::User(command) => command.changes(),
            Self::Key(command) => command.changes(),
            Self::Role(command) => command.changes(),
            Self::Servers(_) | Self::Watch(_) | Self::Audit(_) => false,
            Self::Replicas | Self::Notifications | Self::Completions(_) | Self::CheckConfig(_) => false,
        }
    }
}

/// Reads a command line. An option of every command that is given both before and behind the command is refused as one that
/// is given twice at one place: clap would take the last.
fn read(line: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let line: Vec<OsString> = line.into_iter().collect();
    let cli = Cli::try_parse_from(&line)?;
    let mut command = Cli::command();
    let words = || line.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--");
    let given = |long: &str| {
        let same = |word: &&str| word.strip_prefix("--").is_some_and(|word| word.split('=').next() == Some(long));
        words().filter(same).count()
    };
    let twice = command.get_arguments().filter(|argument| argument.is_global_set()).filter_map(clap::Arg::get_long);
    let twice = twice.map(str::to_owned).find(|long| given(long) > 1);
    match twice {
        None => Ok(cli),
        Some(long) => {
            let words = format!("the argument '--{long}' cannot be used multiple times");
            Err(command.error(clap::error::ErrorKind::ArgumentConflict, words))
        }
    }
}

/// The whole program, from its arguments to its exit code. Not async: what a runtime polls is compiled where it is
/// given to one, and then the binary would take as long to compile as the library.
pub fn main() -> ExitCode {
    let cli = read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let exit = runtime.block_on(run(cli));
            // A thread that looks up a name or hashes a password is not waited for.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            eprintln!("the runtime could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command and says how it ended. Failures are written to standard error here and nowhere else.
async fn run(cli: Cli) -> ExitCode {
    let output = Output::new(cli.global.output, cli.command.changes());
    let exit = match dispatch(cli, &output).await {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.is_quiet() {
                output.note(&failure.render(output.format));
            }
            failure.exit()
        }
    };
    crate::telemetry::traces::flush(LAST_SPANS).await;
    crate::telemetry::flush();
    exit.into()
}

fn agent_traces(AgentArgs { traces: args, command, .. }: &AgentArgs) -> TracesConfig {
    // What only helps an agent makes no spans.
    if command.is_some() {
        return TracesConfig::default();
    }
    TracesConfig {
        endpoint: args.traces_endpoint.clone(),
        protocol: if args.traces_http { TracesProtocol::HttpProtobuf } else { TracesProtocol::Grpc },
        headers_file: args.traces_headers_file.clone(),
        ca_file: args.traces_ca_file.clone(),
        ..TracesConfig::default()
    }
}

async fn dispatch(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    let client = || cli.global.client();
    match cli.command {
        Command::Serve(args) => serve::run(args).await,
        Command::CheckConfig(args) => check_config::run(args, output),
        Command::Agent(args) => {
            let traces = agent_traces(&args);
            crate::telemetry::start(&LogConfig::default(), &traces, "obsteward-agent")
                .map_err(|error| Failure::Usage(error.to_string()))?;
            crate::agent::run(args).await.map_err(|error| Failure::Local(error.to_string()))?;
            Ok(Exit::Done)
        }
        #[cfg(feature = "sim")]
        Command::Demo(args) => demo::run(args, output).await,
        #[cfg(feature = "sim")]
        Command::Sim(args) => {
            crate::sim::command::run(args).await.map_err(|error| Failure::Local(error.to_string()))?;
            Ok(Exit::Done)
        }
        Command::Clusters(command) => clusters::run(command, &client()?, output).await,
        Command::Servers(command) => servers::run(command, &client()?, output).await,
        Command::Zones(command) => zones::run(command, &client()?, output).await,
        Command::Rollout(args) => rollout::run(args, &client()?, output).await,
        Command::Stop(args) => stop::run(args, &client()?, output).await,
        Command::Start(args) => plain::start(args, &client()?, output).await,
        Command::Restart(args) => restart::run(args, &client()?, output).await,
        Command::Freeze(args) => plain::freeze(args, &client()?, output).await,
        Command::Watch(args) => watch::run(args, &client()?, output).await,
        Command::Tasks(command) => tasks::run(command, &client()?, output).await,
        Command::User(command) => users::run(command, &client()?, output).await,
        Command::Key(command) => keys::run(command, &client()?, output).await,
        Command::Role(command) => roles::run(command, &client()?, output).await,
        Command::Audit(args) => audit::run(args, &client()?, output).await,
        Command::Replicas => replicas::run(&client()?, output).await,
        Command::Notifications => notifications::run(&client()?, output).await,
        Command::Completions(args) => completions::run(args, Cli::command(), output),
        Command::Man(args) => man::run(args, Cli::command(), output),
        Command::Store(command) => store::run(command, client, output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usual_lines_are_accepted() {
        for line in [
            "obsteward clusters list",
            "obsteward clusters list --output json --server http://h:1",
            "obsteward --server http://h:1 clusters show ob",
            "obsteward clusters register --endpoint 127.0.1.1:2881 --endpoint 127.0.1.2:2881 --no-password \
             --server-id 127.0.1.1:2882=7 --host 127.0.1.1=local --host 127.0.1.2=grpc:h:7001 --default-host grpc:7001",
            "obsteward clusters update ob --default-host local",
            "obsteward servers list ob --zone zone1",
            "obsteward servers show ob 10.0.0.2:2882",
            "obsteward stop --cluster-id 1 --server-id 2 --force --watch",
            "obsteward stop ob 10.0.0.2:2882 --accept-risk quorum-loss --accept-risk CLUSTER_UNREACHABLE --plan",
            "obsteward stop 1 2 --type service --expire-in 2h --request-id 6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11",
            "obsteward start ob 10.0.0.2:2882 --watch --timeout 10m",
            "obsteward start --cluster-id 1 --server-id 2 --expect 10.0.0.2:2882 --request-id 6a1b3c1e-52a7-4b6c-9f6b-0d4d0e0a8f11",
            "obsteward restart ob 10.0.0.2:2882 --force --accept-risk quorum-loss --freeze --expire-in 1h --watch",
            "obsteward restart ob 2 --plan",
            "obsteward freeze ob 10.0.0.2:2882 --watch --timeout 10m",
            "obsteward watch 12345 --timeout 10m --after-revision 0",
            "obsteward watch",
            "obsteward watch --no-progress --timeout 1m --output wide",
            "obsteward watch --cluster ob",
            "obsteward watch --all --after-seq 7",
            "obsteward tasks list --cluster ob --ob-server 10.0.0.2:2882 --state failed --state given-up --limit 5",
            "obsteward tasks log 7",
            "obsteward tasks log 7 100002 --from-line 3 --follow",
            "obsteward tasks diagnose 7 --file task-7.json --timeout 10s",
            "obsteward tasks retry 7 --if-revision 3 --watch",
            "obsteward tasks rollback 7 --if-revision 3 --expire-in 1h --watch --timeout 5m",
            "obsteward tasks skip 7 100002 --watch",
            "obsteward tasks give-up 7",
            "obsteward --user admin --password-file /run/secret clusters list",
            "obsteward clusters list --user admin --insecure-plaintext",
            "obsteward clusters register --endpoint h:2881 --user admin --cluster-user root@sys \
             --cluster-password-file - --password-file /run/secret",
            "obsteward user create bob --role CLUSTER_VIEWER --certificate DNS:ops.example.com --no-password",
            "obsteward user create bob --new-password-file - --user admin",
            "obsteward users list",
            "obsteward user update bob --role A --role B --no-certificates",
            "obsteward user disable bob",
            "obsteward user rotate bob",
            "obsteward key create",
            "obsteward key create bob --output json",
            "obsteward key list bob",
            "obsteward key rotate AK0123456789",
            "obsteward role create STOPPER CLUSTER:7:UPDATE CLUSTER:7:READ",
            "obsteward role delete STOPPER",
            "obsteward audit --principal bob --operation stop-ob-server --refused --since 2h --limit 5",
            "obsteward audit --cluster 1 --task 100001 --accepted --since 2026-01-02T03:04:05Z",
            "obsteward clusters list --output text",
            "obsteward tasks list --output yaml",
            "obsteward completions bash",
            "obsteward man --directory /usr/local/share/man/man1",
            "obsteward store restored --store /var/lib/obsteward/obsteward.db --output json",
            "obsteward store backup /backup/obsteward.db --overwrite --server http://h:1",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn wrong_lines_are_usage_errors() {
        for line in [
            "obsteward",
            "obsteward stop",
            "obsteward stop ob",
            "obsteward stop --cluster-id 1",
            "obsteward stop --cluster-id 1 --server-id 2 ob 10.0.0.2",
            "obsteward stop --cluster-id 0 --server-id 2",
            "obsteward stop ob 2 --type service --type process",
            "obsteward stop ob 2 --force --force",
            "obsteward --server http://a:1 clusters list --server http://b:1",
            "obsteward --user a clusters list --user a",
            "obsteward clusters --output json list --output text",
            "obsteward stop ob db-2",
            "obsteward stop 1 2 --accept-risk everything",
            "obsteward stop 1 2 --expire-in soon",
            "obsteward stop 1 2 --request-id 1",
            "obsteward stop 1 2 --plan --watch",
            "obsteward start ob",
            "obsteward start ob 2 --force",
            "obsteward start ob 2 --expect 10.0.0.2",
            "obsteward restart ob 2 --type service",
            "obsteward freeze ob 2 --force",
            "obsteward tasks rollback",
            "obsteward tasks skip 7",
            "obsteward tasks skip 7 8 --timeout 1s",
            "obsteward watch 1 --all",
            "obsteward watch --all --cluster ob",
            "obsteward tasks list --state done",
            "obsteward tasks list --output tabular",
            "obsteward completions",
            "obsteward completions csh",
            "obsteward tasks log",
            "obsteward tasks log 7 --from-line 0",
            "obsteward tasks diagnose",
            "obsteward tasks diagnose 7 --timeout 0s",
            "obsteward clusters register",
            "obsteward clusters register --endpoint 127.0.1.1:2881 --password secret",
            "obsteward clusters register --endpoint 127.0.1.1:2881 --server-id 127.0.1.1:2882",
            "obsteward --password secret clusters list",
            "obsteward user create bob --new-password secret",
            "obsteward user create bob --new-password-file f --no-password",
            "obsteward user update bob --role A --no-roles",
            "obsteward user rotate bob --no-password",
            "obsteward role create stopper CLUSTER:7:UPDATE",
            "obsteward role create STOPPER",
            "obsteward role create STOPPER CLUSTER:7:STOP",
            "obsteward audit --refused --accepted",
            "obsteward audit --operation STOP_SERVER",
            "obsteward audit --since yesterday",
            "obsteward audit --limit 0",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
        }
    }

    #[test]
    fn help_documents_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("outcome not known") && help.contains("refused"), "{help}");
    }
}
