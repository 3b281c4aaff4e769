//! Resource limits of a process: read from `/proc/PID/limits`, remembered, and set for a process of our own.

use std::collections::BTreeMap;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// A limit; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub soft: Option<u64>,
    /// Up to what the process may raise it itself.
    pub hard: Option<u64>,
}

/// Limits by the kernel's name for them, for example `Max open files`.
pub type Limits = BTreeMap<String, Limit>;

const RESOURCES: &[(&str, Resource)] = &[
    ("Max cpu time", Resource::Cpu),
    ("Max file size", Resource::Fsize),
    ("Max data size", Resource::Data),
    ("Max stack size", Resource::Stack),
    ("Max core file size", Resource::Core),
    ("Max resident set", Resource::Rss),
    ("Max processes", Resource::Nproc),
    ("Max open files", Resource::Nofile),
    ("Max locked memory", Resource::Memlock),
    ("Max address space", Resource::As),
    ("Max file locks", Resource::Locks),
    ("Max pending signals", Resource::Sigpending),
    ("Max msgqueue size", Resource::Msgqueue),
    ("Max nice priority", Resource::Nice),
    ("Max realtime priority", Resource::Rtprio),
    ("Max realtime timeout", Resource::Rttime),
];

/// The limit of open files alone, soft and hard.
pub fn of_files((soft, hard): (Option<u64>, Option<u64>)) -> Limits {
    Limits::from([("Max open files".to_owned(), Limit { soft, hard })])
}

/// What `/proc/PID/limits` says: `name  soft  hard  unit`, of the limits that we know.
pub fn parse(text: &str) -> Limits {
    let limit = |line: &str| {
        let (name, _) = RESOURCES.iter().find(|(name, _)| line.starts_with(name))?;
        let mut words = line[name.len()..].split_whitespace();
        let limit = Limit { soft: value(words.next()?)?, hard: value(words.next()?)? };
        Some(((*name).to_owned(), limit))
    };
    text.lines().filter_map(limit).collect()
}

fn value(word: &str) -> Option<Option<u64>> {
    if word == "unlimited" { Some(None) } else { word.parse().ok().map(Some) }
}

/// Sets the limits of this process. Returns notes on hard limits that could not be kept; a soft limit that cannot be
/// kept is an error, because the observer would live with less than it had.
pub fn set(limits: &Limits) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    for (name, limit) in limits {
        let Some((_, resource)) = RESOURCES.iter().find(|(known, _)| known == name) else { continue };
        let own = getrlimit(*resource);
        let wanted = Rlimit { current: limit.soft, maximum: limit.hard };
        if own == wanted {
            continue;
        }
        match setrlimit(*resource, wanted) {
            Ok(()) => {}
            // More than our own hard limit: raising that takes a privilege, and never goes beyond the kernel's maximum.
            Err(Errno::PERM) if is_within(limit.soft, own.maximum) => {
                let less = Rlimit { current: limit.soft, maximum: own.maximum };
                setrlimit(*resource, less).map_err(|error| format!("{name} cannot be set: {error}"))?;
                notes.push(format!("{name}: hard limit {} instead of {}", words(own.maximum), words(limit.hard)));
            }
            Err(Errno::PERM) => {
                return Err(format!(
                    "the observer had {name} = {} and the agent may not go beyond {}: raise the agent's own limit",
                    words(limit.soft),
                    words(own.maximum)
                ));
            }
            Err(error) => return Err(format!("{name} = {} cannot be set: {error}", words(limit.soft))),
        }
    }
    Ok(notes)
}

fn is_within(value: Option<u64>, limit: Option<u64>) -> bool {
    match (value, limit) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(value), Some(limit)) => value <= limit,
    }
}

fn words(value: Option<u64>) -> String {
    value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let limits = parse(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max cpu time              unlimited            unlimited            seconds   \n\
             Max open files            1024                 524288               files     \n\
             Max nice priority         0                    0                    \n\
             Max something new         1                    2                    apples    \n",
        );
        assert_eq!(limits.len(), 3);
        assert_eq!(limits["Max open files"], Limit { soft: Some(1024), hard: Some(524_288) });
        assert_eq!(limits["Max cpu time"], Limit { soft: None, hard: None });
    }

    #[test]
    fn our_own_are_all_known_and_the_same_as_the_system_says() {
        let limits = parse(&std::fs::read_to_string("/proc/self/limits").unwrap());
        assert_eq!(limits.len(), RESOURCES.len());
        for (name, resource) in RESOURCES {
            let Rlimit { current, maximum } = getrlimit(*resource);
            assert_eq!(limits[*name], Limit { soft: current, hard: maximum }, "{name}");
        }
        assert_eq!(set(&limits), Ok(Vec::new()));
    }

    #[test]
    fn a_soft_limit_within_our_hard_one_can_be_kept() {
        assert!(is_within(Some(5), Some(5)) && is_within(None, None) && is_within(Some(5), None));
        assert!(!is_within(Some(6), Some(5)) && !is_within(None, Some(5)));
    }
}
