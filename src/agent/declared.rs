//! What an observer says of itself in its arguments and in `etc/observer.config.bin`. Pure text work; these
//! statements alone prove nothing.

use std::fmt;
use std::net::IpAddr;

use crate::agent::configuration;
use crate::domain::host::ObserverTarget;

/// A fact that may be stated once, not at all, or twice in different ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeclaredValue<T> {
    #[default]
    Missing,
    Value(T),
    /// Arguments and configuration (or two places in it) disagree.
    Conflicting,
}

impl<T: PartialEq> DeclaredValue<T> {
    /// Whether it is surely something else than `wanted`.
    pub fn differs_from(&self, wanted: &T) -> bool {
        match self {
            Self::Value(value) => value != wanted,
            Self::Missing | Self::Conflicting => false,
        }
    }

    /// Whether it is surely `wanted`.
    pub fn equals(&self, wanted: &T) -> bool {
        match self {
            Self::Value(value) => value == wanted,
            Self::Missing | Self::Conflicting => false,
        }
    }

    fn say(&mut self, value: T) {
        match self {
            Self::Missing => *self = Self::Value(value),
            Self::Value(known) if *known == value => {}
            Self::Value(_) | Self::Conflicting => *self = Self::Conflicting,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    pub cluster: DeclaredValue<String>,
    /// The `cluster_id` parameter.
    pub cluster_id: DeclaredValue<i64>,
    pub rpc_port: DeclaredValue<u16>,
    /// IP by which the cluster knows it.
    pub local_ip: DeclaredValue<IpAddr>,
    /// Whether it was started in the foreground (`--nodaemon`): then whoever started it waits for it.
    pub foreground: bool,
}

impl Declared {
    /// Adds what the arguments say (the program's name first).
    pub fn add_arguments(&mut self, arguments: &[String]) {
        for said in said(arguments) {
            match said {
                Argument::Cluster(name) => self.cluster.say(name),
                Argument::ClusterId(id) => self.cluster_id.say(id),
                Argument::RpcPort(port) => self.rpc_port.say(port),
                Argument::LocalIp(ip) => self.local_ip.say(ip),
                Argument::Foreground => self.foreground = true,
                Argument::SqlPort(_) => {}
            }
        }
    }

    /// Whether it states the target's cluster name and port, and no other id or address.
    pub fn is_exactly(&self, target: &ObserverTarget) -> bool {
        let or_unsaid = |equal: bool, unsaid: bool| equal || unsaid;
        self.cluster.equals(&target.cluster_name)
            && self.rpc_port.equals(&target.address.rpc_port())
            && or_unsaid(self.cluster_id.equals(&target.ob_cluster_id), self.cluster_id == DeclaredValue::Missing)
            && or_unsaid(self.local_ip.equals(&target.address.ip()), self.local_ip == DeclaredValue::Missing)
    }

    pub fn is_of_another_cluster(&self, target: &ObserverTarget) -> bool {
        self.cluster.differs_from(&target.cluster_name) || self.cluster_id.differs_from(&target.ob_cluster_id)
    }

    pub fn is_at_another_address(&self, target: &ObserverTarget) -> bool {
        self.local_ip.differs_from(&target.address.ip()) || self.rpc_port.differs_from(&target.address.rpc_port())
    }

    pub fn is_of_another(&self, target: &ObserverTarget) -> bool {
        self.is_of_another_cluster(target) || self.is_at_another_address(target)
    }

    /// Adds what the configuration file says. A file that is no complete record may hold `key=value` texts all the
    /// same, with something else around them.
    pub fn add_configuration(&mut self, bytes: &[u8]) {
        let text = configuration::text(bytes);
        let values = |key| -> Vec<String> {
            match text {
                Some(text) => configuration::value(text, key).map(str::to_owned).collect(),
                None => values(bytes, key).collect(),
            }
        };
        values("cluster").into_iter().for_each(|value| self.cluster.say(value));
        parsed_all(values("cluster_id")).for_each(|value| self.cluster_id.say(value));
        parsed_all(values("rpc_port")).for_each(|value| self.rpc_port.say(value));
        parsed_all(values("local_ip")).for_each(|value| self.local_ip.say(value));
    }
}

impl<T: fmt::Display> fmt::Display for DeclaredValue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("unsaid"),
            Self::Value(value) => write!(formatter, "{value}"),
            Self::Conflicting => formatter.write_str("said twice in different ways"),
        }
    }
}

impl fmt::Display for Declared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, cluster_id, rpc_port, local_ip, .. } = self;
        write!(formatter, "cluster {cluster}, cluster_id {cluster_id}, rpc_port {rpc_port}, local_ip {local_ip}")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// `-n`.
    Cluster(String),
    /// `-c`.
    ClusterId(i64),
    /// `-P`.
    RpcPort(u16),
    /// `-p`.
    SqlPort(u16),
    /// `-I`.
    LocalIp(IpAddr),
    /// `-N`.
    Foreground,
}

/// What arguments say (the program's name first), in their order; of two values for one thing the observer takes the last.
pub fn said(arguments: &[String]) -> Vec<Argument> {
    let mut all = Vec::new();
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        if matches!(argument.as_str(), "-N" | "--nodaemon") {
            all.push(Argument::Foreground);
            continue;
        }
        let Some((option, inline)) = split_option(argument) else { continue };
        let mut value = || inline.map(str::to_owned).or_else(|| rest.next().cloned());
        match option {
            "-n" | "--appname" => all.extend(value().map(Argument::Cluster)),
            "-c" | "--cluster_id" => all.extend(parsed(value()).map(Argument::ClusterId)),
            "-P" | "--rpc_port" => all.extend(parsed(value()).map(Argument::RpcPort)),
            "-p" | "--mysql_port" => all.extend(parsed(value()).map(Argument::SqlPort)),
            "-I" | "--local_ip" => all.extend(parsed(value()).map(Argument::LocalIp)),
            // Takes a value that could look like an option of ours.
            "-o" | "--optstr" | "-r" | "--rs_list" | "-d" | "--data_dir" | "-z" | "--zone" | "-i" | "--devname"
            | "-l" | "--log_level" => drop(value()),
            _ => {}
        }
    }
    all
}

fn parsed_all<T: std::str::FromStr>(values: Vec<String>) -> impl Iterator<Item = T> {
    values.into_iter().filter_map(|value| value.parse().ok())
}

fn parsed<T: std::str::FromStr>(value: Option<String>) -> Option<T> {
    value?.parse().ok()
}

/// `--long`, `--long=value`, `-x`, `-x=value`, `-xvalue`.
fn split_option(argument: &str) -> Option<(&str, Option<&str>)> {
    if argument.starts_with("--") {
        return Some(match argument.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (argument, None),
        });
    }
    let option = argument.get(..2).filter(|option| option.starts_with('-'))?;
    let value = &argument[2..];
    Some((option, (!value.is_empty()).then(|| value.strip_prefix('=').unwrap_or(value))))
}

/// The values of `key=` where no letter of another key stands before it, each up to the first unprintable byte.
fn values<'a>(bytes: &'a [u8], key: &'a str) -> impl Iterator<Item = String> + 'a {
    let runs = bytes.split(|byte| !(0x20..0x7f).contains(byte)).filter(|run| !run.is_empty());
    runs.filter_map(move |run| {
        let text = std::str::from_utf8(run).ok()?;
        text.match_indices(key).find_map(|(at, _)| {
            let before = text[..at].chars().next_back();
            let value = text[at + key.len()..].strip_prefix('=')?;
            let alone = before.is_none_or(|before| !before.is_ascii_alphanumeric() && !matches!(before, '_' | '='));
            alone.then(|| value.trim().to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(arguments: &[&str]) -> Declared {
        let mut declared = Declared::default();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        declared.add_arguments(&arguments);
        declared
    }

    #[test]
    fn every_way_to_write_a_name() {
        for name in [
            &["o", "-n", "demo"][..],
            &["o", "-n=demo"],
            &["o", "-ndemo"],
            &["o", "--appname", "demo"],
            &["o", "--appname=demo"],
        ] {
            assert!(heard(name).cluster.equals(&"demo".to_owned()), "{name:?}");
        }
        assert_eq!(heard(&["-n", "-o", "-n=no"]).cluster, DeclaredValue::Missing);
    }

    #[test]
    fn arguments_of_a_real_observer() {
        let declared = heard(&[
            "bin/observer",
            "-p",
            "2881",
            "-P",
            "2882",
            "-z",
            "zone1",
            "-n",
            "demo",
            "-c",
            "7",
            "-I",
            "fd00::2",
            "-N",
        ]);
        assert_eq!(
            declared,
            Declared {
                cluster: DeclaredValue::Value("demo".to_owned()),
                cluster_id: DeclaredValue::Value(7),
                rpc_port: DeclaredValue::Value(2882),
                local_ip: DeclaredValue::Value("fd00::2".parse().unwrap()),
                foreground: true,
            }
        );
    }

    #[test]
    fn exactly_the_target_needs_name_and_port_and_no_contradiction() {
        let target = ObserverTarget {
            address: "127.0.1.1:2882".parse().unwrap(),
            sql_port: 2881,
            cluster_name: "demo".to_owned(),
            ob_cluster_id: 7,
        };
        let says = |configuration: &str| {
            let mut declared = Declared::default();
            declared.add_configuration(configuration.as_bytes());
            declared.is_exactly(&target)
        };
        let good = "cluster=demo\nrpc_port=2882\n";
        assert!(says(good) && says(&format!("{good}cluster_id=7\nlocal_ip=127.0.1.1\n")));
        for more in
            ["cluster=demo2", "cluster_id=8", "local_ip=127.0.1.2", "rpc_port=3882", "cluster_id=7\ncluster_id=8"]
        {
            assert!(!says(&format!("{good}{more}\n")), "{more}");
        }
        assert!(!says("cluster=demo\n") && !says("rpc_port=2882\n"), "unsaid is not said");
    }

    #[test]
    fn configuration_with_junk_around_it() {
        let mut declared = Declared::default();
        declared.add_configuration(b"\x00\xff\x8a%cluster=demo\ncluster_id=3\nold_cluster=x\x01rpc_port=2882\x00\x00z");
        assert!(declared.cluster.equals(&"demo".to_owned()));
        assert!(declared.cluster_id.equals(&3) && declared.rpc_port.equals(&2882));
    }

    #[test]
    fn the_first_key_behind_a_record_header_is_heard() {
        for framed in [true, false] {
            let mut declared = Declared::default();
            // The header's last byte is a letter.
            declared.add_configuration(&configuration::file("cluster=demo\nrpc_port=2882\n", framed));
            assert!(declared.cluster.equals(&"demo".to_owned()), "{declared}");
            assert!(declared.rpc_port.equals(&2882));
        }
    }

    #[test]
    fn who_says_two_things_says_nothing() {
        let mut declared = heard(&["o", "-n", "demo"]);
        declared.add_configuration(b"cluster=other\n");
        assert_eq!(declared.cluster, DeclaredValue::Conflicting);
        assert!(!declared.cluster.equals(&"demo".to_owned()) && !declared.cluster.differs_from(&"demo".to_owned()));
    }
}
