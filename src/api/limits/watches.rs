//! Watches of each principal at the same time, on both faces together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ids::Principal;
use crate::domain::refusal::Refusal;

/// How many watches everybody has; cheap to clone.
#[derive(Clone, Debug)]
pub struct Watches {
    /// 0: no limit.
    limit: u32,
    open: Arc<Mutex<HashMap<Principal, u32>>>,
}

impl Watches {
    /// At most so many each; 0: no limit.
    pub fn new(limit: u32) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// Room for one more watch, for as long as the permit is held.
    pub fn begin(&self, principal: &Principal) -> Result<WatchPermit, Refusal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(principal.clone()).or_default();
        if self.limit > 0 && *count >= self.limit {
            return Err(Refusal::TooManyWatches { principal: principal.clone(), limit: self.limit });
        }
        *count += 1;
        Ok(WatchPermit { watches: self.clone(), principal: principal.clone() })
    }
}

/// A watch that counts; held by its stream.
#[derive(Debug)]
#[must_use = "the watch counts only while its permit is held"]
pub struct WatchPermit {
    watches: Watches,
    principal: Principal,
}

impl Drop for WatchPermit {
    fn drop(&mut self) {
        let mut open = self.watches.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_counts_while_its_permit_is_held() {
        let (watches, eve, bob) = (Watches::new(2), Principal::new("eve"), Principal::new("bob"));
        let first = watches.begin(&eve).unwrap();
        let _second = watches.begin(&eve).unwrap();
        let refused = Refusal::TooManyWatches { principal: eve.clone(), limit: 2 };
        assert_eq!(watches.begin(&eve).unwrap_err(), refused);
        drop(watches.begin(&bob).unwrap());
        drop(first);
        let _third = watches.begin(&eve).unwrap();
        assert_eq!(watches.open.lock().unwrap().len(), 1, "who has none is forgotten");
        let unlimited = Watches::new(0);
        let _many: Vec<_> = (0..10).map(|_| unlimited.begin(&eve).unwrap()).collect();
    }
}
