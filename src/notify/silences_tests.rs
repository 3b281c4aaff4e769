use super::*;
use crate::domain::ids::ClusterId;

const NOW: i64 = 1_767_323_045_000_000;

fn now() -> Timestamp {
    Timestamp::from_micros(NOW)
}

fn rules(matchers: &[&str]) -> SilenceRules {
    let texts: Vec<String> = matchers.iter().map(|text| (*text).to_owned()).collect();
    let (created_by, length) = ("obsteward store-1".to_owned(), Duration::from_secs(900));
    SilenceRules { templates: templates(&texts).unwrap(), created_by, length }
}

fn out(addr: &str) -> SilencedServer {
    SilencedServer { cluster: "shop.1".to_owned(), addr: addr.parse().unwrap() }
}

fn known(id: &str, value: &str, created_by: &str, state: &str, ends_in: u64) -> KnownSilence {
    KnownSilence {
        id: id.to_owned(),
        status: KnownStatus { state: state.to_owned() },
        matchers: vec![matcher("instance", value, true, true)],
        starts_at: "2026-01-02T03:00:00.123Z".to_owned(),
        ends_at: now().plus(Duration::from_secs(ends_in)).to_string(),
        created_by: created_by.to_owned(),
    }
}

fn matcher(name: &str, value: &str, is_regex: bool, is_equal: bool) -> Matcher {
    Matcher { name: name.to_owned(), value: value.to_owned(), is_regex, is_equal }
}

#[test]
fn a_matcher_says_which_alerts_are_a_servers() {
    let of = |text: &str, addr: &str| template(text).unwrap().of(addr.parse().unwrap(), "shop.1");
    for (text, addr, expected) in [
        ("instance=~{host}:.*", "10.0.0.1:2882", matcher("instance", r"10\.0\.0\.1:.*", true, true)),
        ("instance=~{host}:.*", "[fd00::1]:2882", matcher("instance", r"\[fd00::1\]:.*", true, true)),
        ("svr_ip={ip}", "[fd00::1]:2882", matcher("svr_ip", "fd00::1", false, true)),
        ("cluster!={cluster}-{ip}", "10.0.0.1:2882", matcher("cluster", "shop.1-10.0.0.1", false, false)),
        ("job!~{cluster}|a=b", "10.0.0.1:2882", matcher("job", r"shop\.1|a=b", true, false)),
    ] {
        assert_eq!(of(text, addr), expected, "{text}");
    }
    let strange = template("a=~{cluster}{ip}").unwrap().of("10.0.0.1:2882".parse().unwrap(), "{ip}");
    assert_eq!(strange.value, r"\{ip\}10\.0\.0\.1", "a name is no place for another value");
}

#[test]
fn matchers_that_would_silence_everything_are_refused() {
    let refused = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        templates(&texts).unwrap_err()
    };
    for texts in [&[][..], &["job=node"], &["instance!~{host}:.*"], &["instance!={ip}", "cluster={cluster}"]] {
        assert_eq!(refused(texts), InvalidMatcher::NoServer, "{texts:?}");
    }
    for text in ["", "instance", "=x", "a b=x", "1a=x", "a!x"] {
        assert_eq!(refused(&[text, "instance={ip}"]), InvalidMatcher::Malformed(text.to_owned()));
    }
}

#[test]
fn a_plan_makes_what_is_missing_extends_what_would_end_and_expires_what_is_over() {
    let rules = rules(&["instance=~{host}:.*"]);
    let servers = [out("10.0.0.1:2882"), out("10.0.0.2:2882"), out("10.0.0.3:2882"), out("10.0.0.3:3882")];
    let (ours, other) = ("obsteward store-1", "obsteward store-2");
    let there = [
        known("lasts", r"10\.0\.0\.1:.*", ours, "active", 800),
        known("ends", r"10\.0\.0\.2:.*", ours, "active", 500),
        known("over", r"10\.0\.0\.9:.*", ours, "active", 800),
        known("twice", r"10\.0\.0\.1:.*", ours, "pending", 800),
        known("expired", r"10\.0\.0\.3:.*", ours, "expired", 0),
        known("others", r"10\.0\.0\.3:.*", other, "active", 800),
        known("a person's", r"10\.0\.0\.9:.*", "anna", "active", 800),
    ];
    let plan = rules.plan(&servers, &there, now());
    assert_eq!((plan.expire, plan.ours), (vec!["over".to_owned(), "twice".to_owned()], 3));
    let [extended, made] = &plan.post[..] else { panic!("{:?}", plan.post) };
    assert_eq!((extended.id.as_deref(), extended.starts_at.as_str()), (Some("ends"), "2026-01-02T03:00:00.123Z"));
    assert_eq!(extended.ends_at, "2026-01-02T03:19:05.000Z");
    assert_eq!((made.id.as_deref(), made.matchers[0].value.as_str()), (None, r"10\.0\.0\.3:.*"));
    assert_eq!(
        (made.starts_at.as_str(), made.ends_at.as_str()),
        ("2026-01-02T03:04:05.000Z", "2026-01-02T03:19:05.000Z")
    );
    assert_eq!(made.created_by, ours);
    assert!(rules.look_interval() * 3 < rules.length / 3, "a silence is extended long before it ends");
    let nothing = rules.plan(&[], &there[4..], now());
    assert_eq!(nothing, Plan::default());
}

#[test]
fn what_an_alertmanager_answers_is_read() {
    let text = r#"[{"id":"a-1","status":{"state":"active"},"updatedAt":"2026-01-02T03:04:05.000Z","comment":"c","createdBy":"anna",
        "endsAt":"2026-01-02T04:04:05.000Z","startsAt":"2026-01-02T03:04:05.000Z",
        "matchers":[{"isEqual":true,"isRegex":false,"name":"job","value":"node"},{"isRegex":true,"name":"x","value":"y"}]}]"#;
    let [read] = &serde_json::from_str::<Vec<KnownSilence>>(text).unwrap()[..] else { panic!() };
    assert_eq!((read.id.as_str(), read.status.state.as_str(), read.created_by.as_str()), ("a-1", "active", "anna"));
    assert_eq!(read.matchers, [matcher("job", "node", false, true), matcher("x", "y", true, true)]);
}

#[test]
fn a_server_is_out_while_a_task_has_it_and_while_it_stays_stopped() {
    let serving = ManagedServer {
        cluster: ClusterId::new(1).unwrap(),
        cluster_name: "shop".to_owned(),
        cluster_status: None,
        addr: "10.0.0.1:2882".parse().unwrap(),
        managed_status: ServerStatus::Stopped,
        inner_status: InnerStatus::Active,
        stop_time: None,
        start_service_time: Some(now()),
        observation_holds: true,
    };
    assert!(!is_out(&serving), "somebody started it");
    assert!(is_out(&ManagedServer { stop_time: Some(now()), ..serving.clone() }));
    assert!(is_out(&ManagedServer { inner_status: InnerStatus::Inactive, ..serving.clone() }));
    assert!(is_out(&ManagedServer { start_service_time: None, ..serving.clone() }));
    assert!(is_out(&ManagedServer { observation_holds: false, ..serving.clone() }));
    assert!(is_out(&ManagedServer { cluster_status: Some(ClusterStatus::Stopped), ..serving.clone() }));
    for (managed_status, out) in [
        (ServerStatus::Stopping, true),
        (ServerStatus::Starting, true),
        (ServerStatus::Restarting, true),
        (ServerStatus::Running, false),
        (ServerStatus::Unavailable, false),
    ] {
        assert_eq!(is_out(&ManagedServer { managed_status, ..serving.clone() }), out, "{managed_status}");
    }
}
