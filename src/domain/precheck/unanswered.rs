//! What follows from a STOP SERVER that was not answered and whose effect is not visible. The root service retries what may
//! pass and then answers only 4012 (docs/oceanbase.md#retriable-refusals-come-back-as-4012): why it refused can only be derived
//! from our own reading.

use super::{Check, CheckName, CheckVerdict, Precheck};
use crate::domain::gate::Consent;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStatement<'a> {
    /// No check blocks: the same statement is sent again.
    SendAgain,
    /// Only the log is not in sync, and `force` was given.
    ForceStop(&'a Check),
    /// These checks block, and the statement that was sent may still take effect: read again later.
    Wait(Vec<&'a Check>),
    /// This check and the others block, and the statement that was sent can no longer take effect.
    Refused(&'a Check, Vec<&'a Check>),
}

/// Decides over a reading that is younger than the statement. `may_still_happen`: the horizon of the statement has not passed;
/// `forced`: FORCE STOP was sent too, which does not check the log.
pub fn next<'a>(precheck: &'a Precheck, consent: &Consent, may_still_happen: bool, forced: bool) -> NextStatement<'a> {
    let refuses = |check: &&Check| {
        let accepted = super::is_overridden(check, consent.force, &consent.accepted);
        // The root service does not know our callers' consent.
        check.verdict == CheckVerdict::Block && (check.root_service_words.is_some() || !accepted)
    };
    let mut refusing: Vec<&Check> = precheck.checks.iter().filter(refuses).collect();
    if forced {
        refusing.retain(|check| check.name != CheckName::LogInSync);
    }
    match refusing.as_slice() {
        [] => NextStatement::SendAgain,
        _ if may_still_happen => NextStatement::Wait(refusing),
        [check] if check.name == CheckName::LogInSync && consent.force => NextStatement::ForceStop(check),
        [first, others @ ..] => NextStatement::Refused(first, others.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{advise, block, pass};
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::status::{OverriddenBy, Risk};

    const QUORUM: Option<OverriddenBy> = Some(OverriddenBy::QuorumLoss);

    fn of(checks: Vec<Check>) -> Precheck {
        let observed_at = Timestamp::from_micros(0);
        Precheck { checks, leader_moves: Vec::new(), failures_tolerated_after: 0, observed_at }
    }

    fn blocking(name: CheckName, by: Option<OverriddenBy>, words: &str) -> Check {
        block(name, by, "found", "do", (!words.is_empty()).then(|| words.to_owned()))
    }

    #[test]
    fn each_reading_has_one_next_step() {
        let lags = || blocking(CheckName::LogInSync, Some(OverriddenBy::Force), "-4179: log not sync");
        let lost = || blocking(CheckName::MemberMajority, QUORUM, "-4179: no enough valid paxos member");
        let upgrade = || blocking(CheckName::UpgradeMode, Some(OverriddenBy::Force), "");
        let fine = || pass(CheckName::LeaderPresent, "so");
        let warned = || advise(CheckName::FailuresTolerated, CheckVerdict::Warn, "0", "");
        let (plain, force) = (Consent::default(), Consent { force: true, accepted: vec![] });
        let all = Consent { force: true, accepted: vec![Risk::QuorumLoss] };
        let word = |next: NextStatement<'_>| match next {
            NextStatement::SendAgain => "again".to_owned(),
            NextStatement::ForceStop(check) => format!("force {}", check.name),
            NextStatement::Wait(checks) => format!("wait {}", checks.len()),
            NextStatement::Refused(_, others) => format!("refused {}", 1 + others.len()),
        };
        let rows: [(Vec<Check>, &Consent, bool, bool, &str); 11] = [
            (vec![fine(), warned()], &plain, true, false, "again"),
            (vec![fine(), warned()], &plain, false, false, "again"),
            (vec![lags()], &plain, true, false, "wait 1"),
            (vec![lags()], &plain, false, false, "refused 1"),
            (vec![lags()], &force, true, false, "wait 1"),
            (vec![lags()], &force, false, false, "force LOG_IN_SYNC"),
            (vec![lags()], &force, true, true, "again"),
            (vec![lags(), lost()], &force, false, false, "refused 2"),
            (vec![lags(), lost()], &all, false, false, "refused 2"),
            (vec![lags(), upgrade()], &force, false, false, "force LOG_IN_SYNC"),
            (vec![upgrade()], &plain, false, false, "refused 1"),
        ];
        for (checks, consent, may_still_happen, forced, expected) in rows {
            let precheck = of(checks);
            let next = word(next(&precheck, consent, may_still_happen, forced));
            assert_eq!(next, expected, "{:?} {consent:?} {may_still_happen} {forced}", precheck.checks);
        }
    }
}
