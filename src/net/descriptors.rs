//! How many files this process may have open, and what of them its listeners may take. A connection too many is a client
//! that tries again; a file too few is a stop that cannot go on.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections: the store and its log, agents, sessions of clusters, children and their pipes.
pub const OTHERS: u64 = 256;

/// The limit with which the process was started.
static STARTED_WITH: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit of open files to the hard one, which takes no privilege, and says what holds then; `None`: no limit.
/// May be called again.
pub fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = *STARTED_WITH.get_or_init(|| getrlimit(Resource::Nofile));
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    getrlimit(Resource::Nofile).current
}

/// Soft and hard limit with which the process was started; an observer that it starts gets them.
pub fn started_with() -> (Option<u64>, Option<u64>) {
    let limit = *STARTED_WITH.get_or_init(|| getrlimit(Resource::Nofile));
    (limit.current, limit.maximum)
}

/// How many of `wanted` connections each of `listeners` listeners may have, when `allowed` files may be open in all:
/// what the rest needs stays free, of a small limit three quarters. At least one.
pub fn share(wanted: usize, listeners: usize, allowed: Option<u64>) -> usize {
    let Some(allowed) = allowed else { return wanted };
    let free = allowed - OTHERS.min(allowed / 4 * 3);
    let free = usize::try_from(free).unwrap_or(usize::MAX) / listeners.max(1);
    wanted.min(free).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_share_what_the_others_leave() {
        assert_eq!(share(10_000, 2, None), 10_000);
        assert_eq!(share(10_000, 2, Some(1 << 20)), 10_000);
        assert_eq!(share(10_000, 2, Some(1024)), 384);
        assert_eq!(share(10_000, 1, Some(72)), 18);
        assert_eq!((share(10_000, 2, Some(72)), share(5, 2, Some(72)), share(9, 2, Some(1))), (9, 5, 1));
    }

    #[test]
    fn the_soft_limit_is_the_hard_one_and_what_was_is_known() {
        let (before, hard) = started_with();
        assert_eq!(raise(), hard);
        assert_eq!((raise(), started_with()), (hard, (before, hard)));
    }
}
