//! Which silences there are to be at an Alertmanager, and what has to be done for that. Pure. Nothing is remembered: a silence is
//! recognised by who made it and by its matchers, so that an answer that was lost makes no second one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Timestamp;
use crate::domain::ids::ServerAddr;
use crate::domain::status::{ClusterStatus, InnerStatus, ServerStatus};
use crate::store::notifications::ManagedServer;

/// Which alerts are meant, as the Alertmanager has it.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    pub name: String,
    pub value: String,
    pub is_regex: bool,
    #[serde(default = "equal")]
    pub is_equal: bool,
}

const fn equal() -> bool {
    true
}

/// A matcher of the configuration, with places for what is known of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatcherTemplate(Matcher);

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidMatcher {
    #[error("{0:?} is no matcher, write label=value, label=~regex, label!=value or label!~regex")]
    Malformed(String),
    #[error(
        "none of them names the server, so that all alerts would be silenced; use {{host}} or {{ip}} in a value behind = or =~"
    )]
    NoServer,
}

/// Those of a server are all of them; refused unless one of them lets no other server through.
pub fn templates(texts: &[String]) -> Result<Vec<MatcherTemplate>, InvalidMatcher> {
    let all = texts.iter().map(|text| template(text)).collect::<Result<Vec<_>, _>>()?;
    let of_server =
        |one: &MatcherTemplate| one.0.is_equal && ["{host}", "{ip}"].iter().any(|place| one.0.value.contains(place));
    if all.iter().any(of_server) { Ok(all) } else { Err(InvalidMatcher::NoServer) }
}

fn template(text: &str) -> Result<MatcherTemplate, InvalidMatcher> {
    let malformed = || InvalidMatcher::Malformed(text.to_owned());
    let at = text.find(['=', '!']).ok_or_else(malformed)?;
    let (name, rest) = text.split_at(at);
    let operators = [("=~", true, true), ("!~", true, false), ("!=", false, false), ("=", false, true)];
    let found = operators.iter().find_map(|(operator, is_regex, is_equal)| {
        rest.strip_prefix(operator).map(|value| (value, *is_regex, *is_equal))
    });
    let (value, is_regex, is_equal) = found.ok_or_else(malformed)?;
    let valid = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.is_empty() || name.starts_with(|letter: char| letter.is_ascii_digit()) || !name.chars().all(valid) {
        return Err(malformed());
    }
    Ok(MatcherTemplate(Matcher { name: name.to_owned(), value: value.to_owned(), is_regex, is_equal }))
}

impl MatcherTemplate {
    fn of(&self, server: ServerAddr, cluster: &str) -> Matcher {
        let escape = |text: &str| if self.0.is_regex { escaped(text) } else { text.to_owned() };
        let ip = server.ip();
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        let values = [("{host}", host.as_str()), ("{ip}", &ip.to_string()), ("{cluster}", cluster)];
        // One place after the other, so that what stands in a name is not taken for a place.
        let (mut value, mut rest) = (String::new(), self.0.value.as_str());
        while let Some((at, place, known)) =
            values.iter().filter_map(|(place, known)| Some((rest.find(place)?, *place, *known))).min()
        {
            value.push_str(&rest[..at]);
            value.push_str(&escape(known));
            rest = &rest[at + place.len()..];
        }
        value.push_str(rest);
        Matcher { value, ..self.0.clone() }
    }
}

/// So that a regular expression (RE2) means the text itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 4);
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// A server whose alerts are to be silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilencedServer {
    pub cluster: String,
    pub addr: ServerAddr,
}

/// Whether a task has taken a server out of service, and nothing has brought it back: by what tasks wrote, and for one that stays
/// stopped by what was observed too.
pub fn is_out(server: &ManagedServer) -> bool {
    match server.managed_status {
        ServerStatus::Stopping | ServerStatus::Starting | ServerStatus::Restarting => true,
        ServerStatus::Stopped => {
            let serves = server.inner_status == InnerStatus::Active
                && server.stop_time.is_none()
                && server.start_service_time.is_some();
            // What was observed last may be from before the stop: while its task goes on, and of a cluster that cannot be read.
            !serves || !server.observation_holds || server.cluster_status == Some(ClusterStatus::Stopped)
        }
        ServerStatus::Running | ServerStatus::Deleting | ServerStatus::Unavailable => false,
    }
}

/// What the Alertmanager says of a silence.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KnownSilence {
    pub id: String,
    pub status: KnownStatus,
    pub matchers: Vec<Matcher>,
    pub starts_at: String,
    pub ends_at: String,
    #[serde(default)]
    pub created_by: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct KnownStatus {
    /// `active`, `pending` or `expired`.
    pub state: String,
}

/// A silence as it is sent.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WantedSilence {
    /// That is to be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub matchers: Vec<Matcher>,
    pub starts_at: String,
    pub ends_at: String,
    pub created_by: String,
    pub comment: String,
}

/// What has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// New ones, and those that are extended.
    pub post: Vec<WantedSilence>,
    /// Ids of those that are over.
    pub expire: Vec<String>,
    /// How many of ours there are then.
    pub ours: usize,
}

/// How silences are made.
#[derive(Clone, Debug)]
pub struct SilenceRules {
    pub templates: Vec<MatcherTemplate>,
    /// Who makes them: with the id of the store in it, so that two services do not end each other's.
    pub created_by: String,
    pub length: Duration,
}

impl SilenceRules {
    pub fn plan(&self, out: &[SilencedServer], known: &[KnownSilence], now: Timestamp) -> Plan {
        let mut wanted: BTreeMap<Vec<Matcher>, &SilencedServer> = BTreeMap::new();
        for server in out {
            wanted.entry(self.matchers(server)).or_insert(server);
        }
        let mut plan = Plan { ours: wanted.len(), ..Plan::default() };
        for silence in known.iter().filter(|silence| silence.created_by == self.created_by) {
            if silence.status.state == "expired" {
                continue;
            }
            let mut matchers = silence.matchers.clone();
            matchers.sort();
            match wanted.remove(&matchers) {
                None => plan.expire.push(silence.id.clone()),
                Some(server) if self.is_to_be_extended(silence, now) => {
                    plan.post.push(WantedSilence {
                        id: Some(silence.id.clone()),
                        // A silence that is active is changed only when its begin stays.
                        starts_at: silence.starts_at.clone(),
                        ..self.silence(matchers, server, now)
                    });
                }
                Some(_) => {}
            }
        }
        plan.post.extend(wanted.into_iter().map(|(matchers, server)| self.silence(matchers, server, now)));
        plan
    }

    /// How often there is to be a look, so that none ends while it is wanted.
    pub fn look_interval(&self) -> Duration {
        (self.length / 6).min(Duration::from_secs(30))
    }

    fn is_to_be_extended(&self, silence: &KnownSilence, now: Timestamp) -> bool {
        let ends_at = silence.ends_at.parse::<jiff::Timestamp>().ok();
        let ends_at = ends_at.map(|at| Timestamp::from_micros(at.as_microsecond()));
        ends_at.is_none_or(|ends_at| ends_at < now.plus(self.length * 2 / 3))
    }

    fn matchers(&self, server: &SilencedServer) -> Vec<Matcher> {
        let mut matchers: Vec<Matcher> =
            self.templates.iter().map(|template| template.of(server.addr, &server.cluster)).collect();
        matchers.sort();
        matchers
    }

    fn silence(&self, matchers: Vec<Matcher>, server: &SilencedServer, now: Timestamp) -> WantedSilence {
        WantedSilence {
            id: None,
            matchers,
            starts_at: now.to_string(),
            ends_at: now.plus(self.length).to_string(),
            created_by: self.created_by.clone(),
            comment: format!(
                "obsteward has server {} of cluster {} out of service; it ends this when the server serves again",
                server.addr, server.cluster
            ),
        }
    }
}

#[cfg(test)]
#[path = "silences_tests.rs"]
mod tests;
