use super::*;
use crate::domain::change_freeze::FreezeScope;
use crate::domain::ids::Principal;
use crate::domain::maintenance::ApprovalRule;
use crate::domain::reason::Reason;

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// Open on Mondays from 10 to 11, in UTC.
fn mondays() -> MaintenancePolicy {
    MaintenancePolicy { windows: vec!["Mon 10:00-11:00".parse().unwrap()], ..MaintenancePolicy::default() }
}

fn freeze() -> ChangeFreeze {
    let since = at("2026-11-30T08:00:00Z");
    ChangeFreeze { scope: FreezeScope::Everything, by: Principal::new("eve"), reason: Reason::default(), since }
}

const MONDAY: &str = "2026-11-30T10:30:00Z";
const TUESDAY: &str = "2026-12-01T10:30:00Z";
const NEXT_MONDAY: &str = "2026-12-07T10:00:00Z";

/// What is asked, when, under which rules; and what becomes of it.
struct Case {
    now: &'static str,
    not_before: Option<&'static str>,
    queue: bool,
    frozen: bool,
    approval: ApprovalRule,
    risks: &'static [Risk],
    starts: bool,
    becomes: Result<Option<(&'static str, bool)>, &'static str>,
}

const fn case(now: &'static str, becomes: Result<Option<(&'static str, bool)>, &'static str>) -> Case {
    Case {
        now,
        not_before: None,
        queue: false,
        frozen: false,
        approval: ApprovalRule::Never,
        risks: &[],
        starts: false,
        becomes,
    }
}

/// `Ok(None)`: it begins; `Ok(Some)`: it waits, at least until then, and for an approval or not; `Err`: why it is refused.
#[test]
fn what_may_begin_begins_and_the_rest_waits_or_is_refused() {
    let risks = || ApprovalRule::Risks(vec![Risk::QuorumLoss]);
    let cases = [
        case(MONDAY, Ok(None)),
        case(TUESDAY, Err("OUTSIDE_WINDOW")),
        Case { queue: true, ..case(TUESDAY, Ok(Some((NEXT_MONDAY, false)))) },
        Case { queue: true, ..case(MONDAY, Ok(None)) },
        // A start restores service.
        Case { starts: true, ..case(TUESDAY, Ok(None)) },
        // The moment that is asked for counts, not that of the request.
        Case { not_before: Some(NEXT_MONDAY), ..case(TUESDAY, Ok(Some((NEXT_MONDAY, false)))) },
        Case { not_before: Some(TUESDAY), ..case(MONDAY, Err("OUTSIDE_WINDOW")) },
        Case { not_before: Some(TUESDAY), queue: true, ..case(MONDAY, Ok(Some((NEXT_MONDAY, false)))) },
        // One that has passed is none.
        Case { not_before: Some("2026-11-30T10:29:59Z"), ..case(MONDAY, Ok(None)) },
        Case { frozen: true, ..case(MONDAY, Err("CHANGES_FROZEN")) },
        Case { frozen: true, queue: true, ..case(MONDAY, Ok(Some((MONDAY, false)))) },
        // Nothing at all begins, a start neither.
        Case { frozen: true, starts: true, ..case(MONDAY, Err("CHANGES_FROZEN")) },
        Case { approval: ApprovalRule::Always, ..case(MONDAY, Ok(Some((MONDAY, true)))) },
        Case { approval: ApprovalRule::Always, starts: true, ..case(MONDAY, Ok(None)) },
        Case { approval: ApprovalRule::Always, ..case(TUESDAY, Err("OUTSIDE_WINDOW")) },
        Case { approval: ApprovalRule::Always, queue: true, ..case(TUESDAY, Ok(Some((NEXT_MONDAY, true)))) },
        Case { approval: risks(), ..case(MONDAY, Ok(None)) },
        Case { approval: risks(), risks: &[Risk::QuorumLoss], ..case(MONDAY, Ok(Some((MONDAY, true)))) },
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let policy = MaintenancePolicy { approval: case.approval, ..mondays() };
        let freeze = case.frozen.then(freeze);
        let rules = Rules { policy: &policy, freeze: freeze.as_ref(), store_id: "s" };
        let asked = BeginRequest { not_before: case.not_before.map(at), queue: case.queue };
        let became = admit(asked, &rules, case.risks, case.starts, "ob", at(case.now));
        let became = became.map_err(|refusal| refusal.reason()).map(|admission| match admission {
            Admission::Begin => None,
            Admission::Wait { pending, earliest } => Some((earliest, pending.approval)),
        });
        let expected = case.becomes.map(|waits| waits.map(|(earliest, approval)| (at(earliest), approval)));
        assert_eq!(became, expected, "case {number}");
    }
}

#[test]
fn a_refusal_tells_the_next_opening() {
    let (policy, now) = (mondays(), at(TUESDAY));
    let rules = Rules { policy: &policy, freeze: None, store_id: "s" };
    let refused = admit(BeginRequest::default(), &rules, &[], false, "ob", now);
    let closed = Closed { exclusion: None, next: Some(at(NEXT_MONDAY)) };
    assert_eq!(refused, Err(Refusal::OutsideWindow { cluster: "ob".to_owned(), from: now, closed }));
}
