use super::*;

fn policy(zone: &str, windows: &[&str], exclusions: &[&str]) -> MaintenancePolicy {
    MaintenancePolicy {
        time_zone: jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap(),
        windows: windows.iter().map(|text| text.parse().unwrap()).collect(),
        exclusions: exclusions.iter().map(|text| text.parse().unwrap()).collect(),
        ..MaintenancePolicy::default()
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// What is said at a moment: `open`, or when it opens next.
fn said(policy: &MaintenancePolicy, moment: &str) -> String {
    match policy.admits(at(moment), false) {
        Ok(()) => "open".to_owned(),
        Err(Closed { next: None, .. }) => "never".to_owned(),
        Err(Closed { next: Some(next), exclusion }) => {
            let why = exclusion.map(|exclusion| format!(" behind {exclusion}")).unwrap_or_default();
            format!("{next}{why}")
        }
    }
}

fn all_said(policy: &MaintenancePolicy, expected: &[(&str, &str)]) {
    for (moment, expected) in expected {
        assert_eq!(said(policy, moment), *expected, "{moment}");
    }
}

/// Germany goes to summer time on 2027-03-28, when 02:00 becomes 03:00, and back on 2026-10-25 and 2027-10-31, when 03:00 becomes 02:00.
const BERLIN: &str = "Europe/Berlin";

#[test]
fn windows_are_read_as_a_wall_clock_is() {
    let nights = [
        // A Monday in winter, one hour before UTC.
        ("2026-11-30T20:59:59Z", "2026-11-30T21:00:00.000Z"),
        ("2026-11-30T21:00:00Z", "open"),
        ("2026-12-01T02:59:59Z", "open"),
        ("2026-12-01T03:00:00Z", "2026-12-01T21:00:00.000Z"),
        // The window of Friday ends on Saturday; none begins on Saturday or Sunday.
        ("2026-12-05T02:59:59Z", "open"),
        ("2026-12-05T03:00:00Z", "2026-12-07T21:00:00.000Z"),
        // In summer it is two hours before UTC.
        ("2026-07-06T19:59:59Z", "2026-07-06T20:00:00.000Z"),
        ("2026-07-06T20:00:00Z", "open"),
    ];
    all_said(&policy(BERLIN, &["Mon-Fri 22:00-04:00"], &[]), &nights);
    let weekend = [
        ("2026-12-04T15:59:59Z", "2026-12-04T16:00:00.000Z"),
        ("2026-12-04T16:00:00Z", "open"),
        ("2026-12-07T15:59:59Z", "open"),
        ("2026-12-07T16:00:00Z", "2026-12-11T16:00:00.000Z"),
    ];
    all_said(&policy("Asia/Shanghai", &["Sat-Mon 00:00-24:00"], &[]), &weekend);
    let several = [
        ("2026-12-01T10:00:00Z", "open"),
        ("2026-12-01T11:30:00Z", "open"),
        ("2026-12-02T10:00:00Z", "2026-12-02T10:30:00.000Z"),
    ];
    all_said(&policy("UTC", &["Tue 10:00-11:00", "daily 10:30-12:00"], &[]), &several);
    all_said(&policy("UTC", &[], &[]), &[("2026-12-01T10:00:00Z", "open")]);
}

#[test]
fn an_hour_that_does_not_exist_is_in_no_window_and_one_that_comes_twice_is_in_it_twice() {
    let early = [
        // 01:59:59, then 03:00:00: the window of this Sunday is not there.
        ("2027-03-28T00:59:59Z", "2027-04-04T00:00:00.000Z"),
        ("2027-03-28T01:00:00Z", "2027-04-04T00:00:00.000Z"),
        // 02:00 to 03:00 in summer, and once more in winter.
        ("2026-10-24T23:59:59Z", "2026-10-25T00:00:00.000Z"),
        ("2026-10-25T00:00:00Z", "open"),
        ("2026-10-25T01:59:59Z", "open"),
        ("2026-10-25T02:00:00Z", "2026-11-01T01:00:00.000Z"),
    ];
    all_said(&policy(BERLIN, &["Sun 02:00-03:00"], &[]), &early);
    // It begins in the hour that is jumped over: what is left of it begins with the jump.
    let late = policy(BERLIN, &["Sun 02:30-04:00"], &[]);
    all_said(&late, &[("2027-03-28T00:59:59Z", "2027-03-28T01:00:00.000Z"), ("2027-03-28T01:00:00Z", "open")]);
    // It ends in the hour that comes twice, and is entered again when the clock is set back into it.
    let until = [
        ("2026-10-25T00:29:59Z", "open"),
        ("2026-10-25T00:30:00Z", "2026-10-25T01:00:00.000Z"),
        ("2026-10-25T01:00:00Z", "open"),
        ("2026-10-25T01:30:00Z", "2026-11-01T00:00:00.000Z"),
    ];
    all_said(&policy(BERLIN, &["Sun 01:00-02:30"], &[]), &until);
    let odd = late.odd_hours(at("2026-11-30T00:00:00Z"));
    assert_eq!(odd.len(), 2, "{odd:?}");
    assert!(odd[0].contains("2027-03-28") && odd[0].contains("does not exist"), "{odd:?}");
    assert!(odd[1].contains("2027-10-31") && odd[1].contains("comes twice"), "{odd:?}");
    assert_eq!(policy("UTC", &["Sun 02:30-04:00"], &[]).odd_hours(at("2026-11-30T00:00:00Z")), Vec::<String>::new());
}

#[test]
fn exclusions_are_whole_days_or_moments_and_win() {
    let exclusions = ["2026-12-24..2027-01-02", "2027-01-05T22:30..2027-01-06T22:15"];
    let feast = [
        ("2026-12-23T21:30:00Z", "open"),
        ("2026-12-23T22:00:00Z", "2027-01-03T21:00:00.000Z"),
        ("2026-12-24T21:30:00Z", "2027-01-03T21:00:00.000Z behind 2026-12-24..2027-01-02"),
        ("2027-01-02T22:59:59Z", "2027-01-03T21:00:00.000Z behind 2026-12-24..2027-01-02"),
        ("2027-01-05T21:29:59Z", "open"),
        ("2027-01-05T21:30:00Z", "2027-01-06T21:15:00.000Z behind 2027-01-05T22:30..2027-01-06T22:15"),
        ("2027-01-06T21:15:00Z", "open"),
    ];
    all_said(&policy(BERLIN, &["daily 22:00-23:00"], &exclusions), &feast);
    // Without windows it opens when the exclusion ends, also in an hour that comes twice.
    let exclusions = ["2026-10-24..2026-10-24", "2026-10-25T01:00..2026-10-25T02:30"];
    let always = [
        ("2026-10-24T12:00:00Z", "2026-10-24T22:00:00.000Z behind 2026-10-24..2026-10-24"),
        ("2026-10-24T23:00:00Z", "2026-10-25T00:30:00.000Z behind 2026-10-25T01:00..2026-10-25T02:30"),
        ("2026-10-25T00:45:00Z", "open"),
        // 02:15, for the second time.
        ("2026-10-25T01:15:00Z", "2026-10-25T01:30:00.000Z behind 2026-10-25T01:00..2026-10-25T02:30"),
    ];
    all_said(&policy(BERLIN, &[], &exclusions), &always);
    let never = policy("UTC", &["Mon 10:00-11:00"], &["2026-01-01..2036-01-01"]);
    all_said(&never, &[("2026-12-24T21:30:00Z", "never")]);
}

#[test]
fn what_only_starts_is_free_unless_the_policy_says_otherwise() {
    let closed = policy("UTC", &["Mon 10:00-11:00"], &[]);
    let now = at("2026-12-01T10:00:00Z");
    assert!(closed.admits(now, true).is_ok() && closed.admits(now, false).is_err());
    let strict = MaintenancePolicy { starts: true, approval: ApprovalRule::Always, ..closed };
    assert!(strict.admits(now, true).is_err());
    assert!(strict.wants_approval(&[], true));
    let lenient = MaintenancePolicy { starts: false, ..strict };
    assert!(!lenient.wants_approval(&[], true) && lenient.wants_approval(&[], false));
    let some = MaintenancePolicy { approval: ApprovalRule::Risks(vec![Risk::QuorumLoss]), ..lenient };
    assert!(!some.wants_approval(&[Risk::ServiceLoss], false));
    assert!(some.wants_approval(&[Risk::ServiceLoss, Risk::QuorumLoss], false));
}

#[test]
fn what_is_no_window_or_exclusion_says_why() {
    let windows = [
        "",
        "Mon",
        "Mon 10:00",
        "Mon 10-11",
        "Mon 10:00-25:00",
        "Mon 1:00-2:00",
        "Foo 10:00-11:00",
        "Mon 10:00-11:00 UTC",
    ];
    for text in windows {
        let error = text.parse::<Window>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")) && error.contains("Mon-Fri 22:00-04:00"), "{error}");
    }
    let exclusions =
        ["", "tomorrow", "2026-12-24..", "2027-01-02..2026-12-24", "2026-02-30", "2026-12-24..2027-01-02T25:00"];
    for text in exclusions {
        let error = text.parse::<Exclusion>().unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")) && error.contains("2026-12-24..2027-01-02"), "{error}");
    }
    assert!("2026-12-24".parse::<Exclusion>().is_ok());
}
