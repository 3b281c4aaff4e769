//! The example configuration must show the settings that exist.

use super::*;

const EXAMPLE: &str = include_str!("../../deploy/obsteward.toml");

/// Every setting by section; those without a default are commented out in the example.
const SETTINGS: &[(&str, &[&str])] = &[
    ("server", &["listen", "insecure_listen"]),
    ("server.tls", TLS),
    ("server.trusted_proxies", PROXIES),
    (
        "rest",
        &[
            "listen",
            "insecure_listen",
            "task_shape",
            "error_codes",
            "accepted_risks",
            "server_name",
            "time_zone",
            "console",
            "session_seconds",
        ],
    ),
    ("rest.tls", TLS),
    ("rest.trusted_proxies", PROXIES),
    ("metrics", &["listen", "insecure_listen"]),
    ("auth", &["enabled", "password_cache_seconds"]),
    ("auth.users", &["name", "roles", "password_file", "password_hash", "certificate_names"]),
    ("auth.keys", &["id", "user", "secret_file"]),
    ("auth.roles", &["name", "permissions"]),
    (
        "limits",
        &[
            "login_failures",
            "login_wait_seconds",
            "requests_per_10_seconds",
            "requests_per_minute",
            "requests_per_hour",
            "requests_per_day",
            "watches_per_principal",
            "streams_per_connection",
            "strangers_per_connection",
            "strangers_per_address",
            "connections",
            "body_bytes",
            "header_bytes",
            "arrival_seconds",
            "stall_seconds",
        ],
    ),
    ("store", &["path", "url", "password_file", "tail_interval_millis", "key_file"]),
    ("store.tls", STORE_TLS),
    ("log", &["filter", "format"]),
    ("traces", &["endpoint", "protocol", "headers_file", "ca_file", "sample_ratio", "timeout_seconds"]),
    ("local_agent", &["state_directory", "safe_units", "homes", "one_end_per_seconds"]),
    ("agents", &["ca_file", "cert_file", "key_file"]),
    (
        "ssh",
        &["program", "config_file", "identity_file", "known_hosts_file", "connect_timeout_seconds", "agent_command"],
    ),
    (
        "stop",
        &[
            "poll_millis",
            "precheck_seconds",
            "gate_seconds",
            "grace_seconds",
            "leader_wait_seconds",
            "reading_seconds",
            "freeze_seconds",
            "effect_timeout_seconds",
        ],
    ),
    ("start", &["watch_seconds", "catch_up_seconds"]),
    ("sync", &["enabled"]),
    (
        "maintenance",
        &["clusters", "time_zone", "windows", "exclusions", "starts", "approval", "approval_risks", "approval_seconds"],
    ),
    (
        "notifications",
        &["name", "url", "secret_file", "ca_file", "events", "clusters", "nearly_given_up_minutes", "timeout_seconds"],
    ),
    ("alertmanager", &["url", "authorization_file", "ca_file", "matchers", "silence_minutes", "timeout_seconds"]),
];

const TLS: &[&str] = &["cert_file", "key_file", "client_ca_file", "require_client_certificate"];
const STORE_TLS: &[&str] = &["ca_file", "cert_file", "key_file"];
const PROXIES: &[&str] = &["networks", "header", "proxy_protocol"];

/// The settings in a text, including those that are commented out.
fn shown(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut shown = Vec::new();
    for line in text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((setting, _)) = line.split_once(" = ")
            && setting.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        {
            shown.push((section.clone(), setting.to_owned()));
        }
    }
    shown
}

#[test]
fn the_example_shows_every_setting_with_its_default() {
    assert_eq!(toml::from_str::<Config>(EXAMPLE).unwrap(), Config::default());
    let all = SETTINGS
        .iter()
        .flat_map(|(section, settings)| settings.iter().map(|setting| ((*section).to_owned(), (*setting).to_owned())));
    assert_eq!(shown(EXAMPLE), all.collect::<Vec<_>>(), "left: deploy/obsteward.toml, right: the settings there are");
}

#[test]
fn what_the_example_shows_behind_a_hash_is_right_too() {
    let settings =
        |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
    let uncovered: Vec<&str> =
        EXAMPLE.lines().map(|line| line.strip_prefix("# ").filter(|rest| settings(rest)).unwrap_or(line)).collect();
    let config: Config = toml::from_str(&uncovered.join("\n")).unwrap();
    assert!(config.rest.listen.is_some() && config.store.key_file.is_some() && config.store.url.is_some());
    assert!(config.agents.is_some() && config.ssh.known_hosts_file.is_some());
    assert!(config.server.tls.is_some_and(|tls| tls.client_ca_file.is_some()) && config.rest.tls.is_some());
    assert_eq!((config.auth.users.len(), config.auth.keys.len(), config.auth.roles.len()), (1, 1, 1));
    assert_eq!(config.limits, LimitsConfig::default());
    // What is shown there is what holds without it.
    let least = "[[notifications]]\nname = \"a\"\nurl = \"b\"\nsecret_file = \"c\"\n[alertmanager]\nurl = \"d\"";
    let least: Config = toml::from_str(least).unwrap();
    let (shown, default) = (&config.notifications[0], &least.notifications[0]);
    assert_eq!(shown.events, NotifiedOf::ALL);
    assert_eq!((&shown.events, &shown.clusters), (&default.events, &default.clusters));
    assert_eq!((shown.nearly_given_up(), shown.timeout()), (default.nearly_given_up(), default.timeout()));
    let (shown, default) = (config.alertmanager.unwrap(), least.alertmanager.unwrap());
    assert_eq!(
        (shown.silence(), shown.timeout(), shown.matchers),
        (default.silence(), default.timeout(), default.matchers)
    );
}

#[test]
fn an_unknown_setting_is_an_error_that_names_its_line_and_shows_no_value() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("obsteward.toml");
    let error = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Config::read(&path).unwrap_err().to_string()
    };
    let said = error("[server]\nlisen = \"127.0.0.1:1\"");
    assert!(said.starts_with(&format!("the configuration {} is wrong in line 2: ", path.display())), "{said}");
    assert!(said.contains("unknown field `lisen`"), "{said}");
    let said = error("[[auth.users]]\nname = \"a\"\nroles = []\npassword = \"hunter2\"\n");
    assert!(said.contains("unknown field `password`") && !said.contains("hunter2"), "{said}");
    assert!(error("[[auth.users]]\nname = \"a\"\npassword_hash = \"hunter2\nroles = []").contains("line 3"));
    assert!(!error("[[auth.users]]\nname = \"a\"\npassword_hash = \"hunter2\nroles = []").contains("hunter2"));
}

#[test]
fn times_of_notifications_are_kept_in_their_range() {
    let text = |number: u64| {
        format!(
            "[[notifications]]\nname = \"a\"\nurl = \"b\"\nsecret_file = \"c\"\nnearly_given_up_minutes = {number}\n\
             timeout_seconds = {number}\n[alertmanager]\nurl = \"d\"\nsilence_minutes = {number}\ntimeout_seconds = {number}"
        )
    };
    for (number, nearly, silence, timeout) in [(0, 60, 180, 1), (1 << 40, 604_800, 86_400, 60)] {
        let config: Config = toml::from_str(&text(number)).unwrap();
        let (webhook, alertmanager) = (&config.notifications[0], config.alertmanager.as_ref().unwrap());
        assert_eq!((webhook.nearly_given_up().as_secs(), alertmanager.silence().as_secs()), (nearly, silence));
        assert_eq!((webhook.timeout().as_secs(), alertmanager.timeout().as_secs()), (timeout, timeout));
    }
}

#[test]
fn settings_of_traces_are_kept_in_their_range() {
    let read = |text: &str| toml::from_str::<Config>(&format!("[traces]\n{text}")).map(|config| config.traces);
    for (seconds, timeout) in [(0, 1), (10, 10), (1_u64 << 40, 60)] {
        assert_eq!(read(&format!("timeout_seconds = {seconds}")).unwrap().timeout().as_secs(), timeout);
    }
    assert_eq!(read("sample_ratio = 1").unwrap().sample_ratio, SampleRatio::ALL);
    for wrong in ["-0.1", "1.5", "nan", "2"] {
        let said = read(&format!("sample_ratio = {wrong}")).unwrap_err().to_string();
        assert!(said.contains("write 0.0 to 1.0"), "{said}");
    }
    assert!(read("protocol = \"http/json\"").is_err());
}

#[test]
fn a_url_that_may_hold_a_secret_is_not_shown() {
    let text = "[[notifications]]\nname = \"a\"\nurl = \"https://h/s3cret\"\nsecret_file = \"c\"";
    assert!(!format!("{:?}", toml::from_str::<Config>(text).unwrap()).contains("s3cret"));
}

#[test]
fn a_hash_is_not_shown() {
    let config: Config = toml::from_str("[[auth.users]]\nname = \"a\"\nroles = []\npassword_hash = \"$hash\"").unwrap();
    assert!(format!("{config:?}").contains("***") && !format!("{config:?}").contains("$hash"));
}
