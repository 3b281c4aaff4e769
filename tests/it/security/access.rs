//! Who may come in: proofs and limits through the gatekeeper that both faces ask, over a directory of a temporary store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use obsteward::access::Directory;
use obsteward::access::signature::{self, SignedRequest};
use obsteward::api::auth::{Admitted, Denied, Gatekeeper, SignedParts};
use obsteward::clock::{Clock, monotonic_now};
use obsteward::config::{AuthConfig, LimitsConfig};
use obsteward::domain::ids::{AccessKeyId, Principal, UserId};
use obsteward::domain::refusal::{AuthFailure, Refusal};
use obsteward::domain::trace::TraceContext;
use obsteward::net::peer::Peer;
use obsteward::net::proxies::Proxies;
use obsteward::store::StoreError;
use obsteward::store::access::{AccessChange, NewUser};
use rcgen::{CertificateParams, KeyPair};
use secrecy::SecretString;

use crate::support::stored_rows::{audit, disable, new_user};
use crate::support::temporary_store::TemporaryStore;

const PASSWORD: &str = "correct horse";
const KEY: &str = "AKAKAKAKAK01";
const SECRET: &str = "2fc0c299cc94c6be266f2ceece765d4d";
const HERE: &str = "10.0.0.1:40000";
const THERE: &str = "10.0.0.2:40000";

/// Cheap to compute: what it costs is not what these tests are about.
pub fn cheap_hash(password: &str) -> String {
    let salt = SaltString::encode_b64(b"saltsaltsaltsalt").unwrap();
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    cheap.hash_password(password.as_bytes(), &salt).unwrap().to_string()
}

/// `eve` with a password, a key and a certificate name; `gone`, who is disabled; `silent`, who has no password; `other`, who
/// has a certificate name.
fn everybody() -> Vec<AccessChange> {
    let hash = Some(cheap_hash(PASSWORD));
    let eve = NewUser {
        password_hash: hash.clone(),
        roles: vec!["CLUSTER_VIEWER".parse().unwrap()],
        certificate_names: vec!["DNS:eve.example.com".to_owned()],
        ..new_user("eve")
    };
    let gone = NewUser { password_hash: hash, ..new_user("gone") };
    let certificate_names = vec!["URI:spiffe://example.com/other".to_owned()];
    let users = [eve, gone, new_user("silent"), NewUser { certificate_names, ..new_user("other") }];
    let key = |id: &str, user| AccessChange::CreateKey {
        id: id.parse().unwrap(),
        user: UserId::new(user).unwrap(),
        secret: SecretString::from(SECRET),
    };
    let disabled = "DISABLEDKEY1";
    let others = [
        disable(1002),
        key(KEY, 1001),
        key(disabled, 1001),
        AccessChange::UpdateKey { id: disabled.parse().unwrap(), disabled: true },
        key("KEYOFNOBODY1", 1002),
    ];
    users.into_iter().map(AccessChange::CreateUser).chain(others).collect()
}

struct Gate {
    gatekeeper: Gatekeeper,
    directory: Arc<Directory>,
    clock: Clock,
}

impl Gate {
    async fn new(limits: LimitsConfig) -> Self {
        let directory = Directory::open(Arc::new(TemporaryStore::with(everybody(), []).await)).await.unwrap();
        let clock = Clock::shifted();
        let gatekeeper = Gatekeeper::new(Arc::clone(&directory), clock.clone(), &AuthConfig::default(), &limits);
        Self { gatekeeper, directory, clock }
    }

    async fn admit(&self, headers: &HeaderMap, peer: &Peer) -> Result<Admitted, Denied> {
        self.gatekeeper.admit(headers, None, peer, TraceContext::of_random(1, 1)).await
    }

    async fn login(&self, user: &str, password: &str, from: &str) -> Result<String, Refusal> {
        name(self.admit(&basic(user, password), &peer(from)).await)
    }

    async fn change(&self, change: AccessChange) {
        self.directory.change::<StoreError>(|_| Ok((change.clone(), audit("admin")))).await.unwrap();
    }
}

fn name(admitted: Result<Admitted, Denied>) -> Result<String, Refusal> {
    admitted.map(|admitted| admitted.caller.principal.to_string()).map_err(|denied| denied.refusal)
}

fn peer(from: &str) -> Peer {
    Peer::plaintext(from.parse::<SocketAddr>().unwrap())
}

pub fn basic(user: &str, password: &str) -> HeaderMap {
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::try_from(value).unwrap())])
}

fn refused<T>(why: AuthFailure) -> Result<T, Refusal> {
    Err(Refusal::Unauthenticated { why })
}

fn limits() -> LimitsConfig {
    LimitsConfig { login_failures: 3, login_wait_seconds: 10, ..LimitsConfig::default() }
}

#[tokio::test]
async fn a_password_proves_its_user_and_no_answer_tells_who_there_is() {
    let gate = Gate::new(LimitsConfig { login_failures: 0, ..limits() }).await;
    let admitted = gate.admit(&basic("eve", PASSWORD), &peer(HERE)).await.unwrap();
    assert_eq!(admitted.caller.user, Some(UserId::new(1001).unwrap()));
    assert_eq!((admitted.caller.address.as_str(), admitted.caller.principal.as_str()), (HERE, "eve"));
    for (user, password) in [
        ("eve", "wrong horse"),
        ("eve", ""),
        ("nobody", PASSWORD),
        ("no name\u{0}", PASSWORD),
        ("", ""),
        ("gone", PASSWORD),
        ("silent", ""),
        ("silent", PASSWORD),
    ] {
        assert_eq!(gate.login(user, password, HERE).await, refused(AuthFailure::Wrong), "{user}");
    }
}

#[tokio::test]
async fn what_names_nobody_is_refused_and_a_claim_is_no_proof() {
    let gate = Gate::new(limits()).await;
    let claimed = HeaderMap::from_iter([(
        http::HeaderName::from_static("obsteward-principal"),
        HeaderValue::from_static("admin"),
    )]);
    assert_eq!(name(gate.admit(&claimed, &peer(HERE)).await), refused(AuthFailure::NoCredentials));
    let mut twice = basic("eve", PASSWORD);
    twice.append(http::header::AUTHORIZATION, HeaderValue::from_static("Basic ZXZlOng="));
    assert_eq!(name(gate.admit(&twice, &peer(HERE)).await), refused(AuthFailure::Repeated("authorization")));
    for malformed in ["Bearer x", "Basic !", "Basic ZXZl", "Basic //79Og=="] {
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static(malformed))]);
        assert_eq!(name(gate.admit(&headers, &peer(HERE)).await), refused(AuthFailure::Malformed), "{malformed}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_fails_waits_longer_and_longer_there_and_nowhere_else() {
    let gate = Gate::new(limits()).await;
    assert_eq!(gate.login("eve", PASSWORD, THERE).await.as_deref(), Ok("eve"));
    for _ in 0..3 {
        assert_eq!(gate.login("eve", "wrong", HERE).await, refused(AuthFailure::Wrong));
    }
    for seconds in [10, 20, 40] {
        let began = monotonic_now();
        let Err(Refusal::LoginThrottled { retry_after_millis }) = gate.login("eve", PASSWORD, HERE).await else {
            panic!("a right password comes too early after {seconds} s");
        };
        assert_eq!(retry_after_millis.div_ceil(1000) - 1, seconds);
        assert_eq!(gate.login("eve", PASSWORD, THERE).await.as_deref(), Ok("eve"), "it is remembered there");
        assert_eq!(monotonic_now(), began, "nothing here waits");
        tokio::time::advance(Duration::from_millis(retry_after_millis.into())).await;
        if seconds < 40 {
            assert_eq!(gate.login("eve", "wrong", HERE).await, refused(AuthFailure::Wrong));
        }
    }
    assert_eq!(gate.login("eve", PASSWORD, HERE).await.as_deref(), Ok("eve"));
    assert_eq!(gate.login("eve", "wrong", HERE).await, refused(AuthFailure::Wrong), "it began anew");
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_that_are_sent_at_once_are_counted_one_by_one() {
    let gate = Arc::new(Gate::new(limits()).await);
    let attempts = (0..12).map(|_| gate.login("eve", "wrong", HERE));
    let answers = futures::future::join_all(attempts).await;
    let looked_at = answers.iter().filter(|answer| **answer == refused(AuthFailure::Wrong)).count();
    assert_eq!(looked_at, 3, "{answers:?}");
}

/// Names that are nobody's fail at `from` until the address is slowed.
async fn slow_down(gate: &Gate, from: &str) {
    for number in 0..10 {
        // No user has a space in its name, and yet it costs what a real one does.
        assert_eq!(gate.login(&format!("no {number}"), "wrong", from).await, refused(AuthFailure::Wrong));
    }
}

#[tokio::test(start_paused = true)]
async fn failures_of_others_slow_an_address_and_shut_nobody_out() {
    let gate = Gate::new(LimitsConfig { login_failures: 1, ..limits() }).await;
    slow_down(&gate, HERE).await;
    let began = monotonic_now();
    // Twenty attempts under other names stand before the one who knows his password.
    let wrong: Vec<_> = (0..20).map(|number| format!("other {number}")).collect();
    let attempts = futures::future::join_all(wrong.iter().map(|name| gate.login(name, "wrong", HERE)));
    let (answers, right) = futures::future::join(attempts, gate.login("eve", PASSWORD, HERE)).await;
    assert_eq!(right.as_deref(), Ok("eve"));
    assert!(answers.iter().all(|answer| *answer == refused(AuthFailure::Wrong)), "{answers:?}");
    let took = began.elapsed();
    assert!((3..=5).contains(&took.as_secs()), "twenty names took {took:?}");
    let began = monotonic_now();
    assert_eq!(gate.login("another", "wrong", THERE).await, refused(AuthFailure::Wrong));
    assert_eq!(monotonic_now(), began, "another address is not slowed");
}

#[tokio::test(start_paused = true)]
async fn who_was_right_at_an_address_is_not_held_up_there_and_his_own_failures_still_count() {
    let gate = Gate::new(LimitsConfig { login_failures: 1, ..limits() }).await;
    assert_eq!(gate.login("eve", PASSWORD, HERE).await.as_deref(), Ok("eve"));
    // Until it is not remembered that her password was right, only that she was.
    tokio::time::advance(Duration::from_secs(61)).await;
    slow_down(&gate, HERE).await;
    let wrong: Vec<_> = (0..60).map(|number| format!("other {number}")).collect();
    let began = monotonic_now();
    let attempts = wrong.iter().map(|name| gate.login(name, "wrong", HERE));
    let eve = async {
        let right = gate.login("eve", PASSWORD, HERE).await;
        (right, monotonic_now() - began)
    };
    let (answers, (right, took)) = futures::future::join(futures::future::join_all(attempts), eve).await;
    assert_eq!((right.as_deref(), took), (Ok("eve"), Duration::ZERO));
    let throttled = |answer: &Result<String, Refusal>| matches!(answer, Err(Refusal::LoginThrottled { .. }));
    let away = answers.iter().filter(|answer| throttled(answer)).count();
    assert_eq!(away, 60 - 25, "who would wait for more than 5 s is told so: {answers:?}");
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(gate.login("eve", "wrong", HERE).await, refused(AuthFailure::Wrong));
    assert!(throttled(&gate.login("eve", PASSWORD, HERE).await));
}

#[tokio::test(start_paused = true)]
async fn behind_a_trusted_proxy_each_client_has_its_own_address() {
    let gate = Gate::new(LimitsConfig { login_failures: 1, ..limits() }).await;
    let config = toml::from_str("networks = [\"10.0.0.0/8\"]").unwrap();
    let proxies = Some(Arc::new(Proxies::new(&config)));
    let from = async |peer: Peer, client: &str, password: &str| {
        let mut headers = basic("eve", password);
        headers.insert("x-forwarded-for", HeaderValue::try_from(client).unwrap());
        gate.admit(&headers, &peer).await
    };
    let proxy = Peer { proxies: proxies.clone(), ..peer(HERE) };
    let through = async |client: &str, password: &str| from(proxy.clone(), client, password).await;
    assert_eq!(name(through("203.0.113.9", "wrong").await), refused(AuthFailure::Wrong));
    let again = name(through("203.0.113.9", PASSWORD).await);
    assert!(matches!(again, Err(Refusal::LoginThrottled { .. })), "{again:?}");
    for (client, shown) in [("203.0.113.10:77", "203.0.113.10:77"), ("1.2.3.4, 203.0.113.11", "203.0.113.11")] {
        assert_eq!(through(client, PASSWORD).await.unwrap().caller.address, shown, "what log and audit name");
    }
    // A stranger claims to be somebody whom a proxy would name, and a proxy that is not trusted is one.
    let stranger = Peer { proxies, ..peer("192.0.2.1:5") };
    assert_eq!(name(from(stranger.clone(), "203.0.113.10", "wrong").await), refused(AuthFailure::Wrong));
    let again = name(from(stranger, "203.0.113.12", PASSWORD).await);
    assert!(matches!(again, Err(Refusal::LoginThrottled { .. })), "{again:?}");
    assert_eq!(from(peer(HERE), "203.0.113.9", PASSWORD).await.unwrap().caller.address, HERE);
}

#[tokio::test]
async fn what_proved_a_caller_holds_until_it_is_changed() {
    let (eve, other) = (UserId::new(1001).unwrap(), UserId::new(1004).unwrap());
    let names = |user, names: &[&str]| AccessChange::UpdateUser {
        user,
        roles: None,
        certificate_names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        disabled: None,
    };
    let key = || KEY.parse::<AccessKeyId>().unwrap();
    let gate = Gate::new(limits()).await;
    let (headers, parts) = signed(KEY, &signature::date(gate.clock.now()));
    let (none, certificate) = (HeaderMap::new(), certified("DNS:eve.example.com", HERE));
    let password = || AccessChange::SetPassword { user: eve, password_hash: cheap_hash("another one") };
    let admitted: [(&str, Vec<AccessChange>, Result<Admitted, Denied>); 4] = [
        ("password", vec![password()], gate.admit(&basic("eve", PASSWORD), &peer(HERE)).await),
        (
            "key",
            vec![
                AccessChange::UpdateKey { id: key(), disabled: true },
                AccessChange::RotateKey { id: key(), secret: SecretString::from("another secret of it") },
            ],
            gate.gatekeeper.admit(&headers, Some(parts), &peer(HERE), TraceContext::of_random(1, 1)).await,
        ),
        (
            "certificate",
            vec![names(eve, &["DNS:else.example.com"]), names(eve, &[])],
            gate.admit(&none, &certificate).await,
        ),
        ("both", vec![names(eve, &[]), password()], gate.admit(&basic("eve", PASSWORD), &certificate).await),
    ];
    for (what, changes, admitted) in admitted {
        let proof = admitted.unwrap().caller.proof;
        for change in changes {
            let gate = Gate::new(limits()).await;
            assert!(proof.holds(&gate.directory.rows(), eve), "{what}");
            assert!(!format!("{proof:?}").contains("argon2"), "no hash is shown");
            let told = format!("{what}: {change:?}");
            gate.change(names(other, &["DNS:other.example.com"])).await;
            assert!(proof.holds(&gate.directory.rows(), eve), "{told}: another user is not her");
            gate.change(change).await;
            assert!(!proof.holds(&gate.directory.rows(), eve), "{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_remembered_password_ends_with_its_time_its_hash_or_its_user() {
    let gate = Gate::new(limits()).await;
    let user = UserId::new(1001).unwrap();
    assert_eq!(gate.login("eve", PASSWORD, HERE).await.as_deref(), Ok("eve"));
    gate.change(AccessChange::SetPassword { user, password_hash: cheap_hash("another one") }).await;
    assert_eq!(gate.login("eve", PASSWORD, HERE).await, refused(AuthFailure::Wrong));
    assert_eq!(gate.login("eve", "another one", HERE).await.as_deref(), Ok("eve"));
    let disabled =
        |disabled| AccessChange::UpdateUser { user, roles: None, certificate_names: None, disabled: Some(disabled) };
    gate.change(disabled(true)).await;
    assert_eq!(gate.login("eve", "another one", HERE).await, refused(AuthFailure::Wrong));
    gate.change(disabled(false)).await;
    assert_eq!(gate.login("eve", "another one", HERE).await.as_deref(), Ok("eve"));
}

/// A certificate with this name.
fn certified(name: &str, from: &str) -> Peer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = match name.split_once(':').unwrap() {
        ("URI", value) => vec![rcgen::SanType::URI(value.try_into().unwrap())],
        (_, value) => value.split(' ').map(|dns| rcgen::SanType::DnsName(dns.try_into().unwrap())).collect(),
    };
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    Peer { certificate: Some(Arc::new(certificate.der().clone())), ..peer(from) }
}

#[tokio::test]
async fn a_certificate_proves_one_user_and_never_two() {
    let gate = Gate::new(limits()).await;
    let (none, eve) = (HeaderMap::new(), certified("DNS:EVE.example.com", HERE));
    let admit = async |headers: &HeaderMap, peer: &Peer| name(gate.admit(headers, peer).await);
    assert_eq!(admit(&none, &eve).await.as_deref(), Ok("eve"));
    assert_eq!(admit(&basic("eve", PASSWORD), &eve).await.as_deref(), Ok("eve"));
    assert_eq!(admit(&basic("eve", "wrong"), &eve).await, refused(AuthFailure::Wrong));
    let other = certified("URI:spiffe://example.com/other", HERE);
    assert_eq!(admit(&none, &other).await.as_deref(), Ok("other"));
    assert_eq!(admit(&basic("eve", PASSWORD), &other).await, refused(AuthFailure::Wrong), "two users");
    let unknown = certified("DNS:nobody.example.com", HERE);
    assert_eq!(admit(&none, &unknown).await, refused(AuthFailure::UnknownCertificate));
    assert_eq!(admit(&basic("eve", PASSWORD), &unknown).await.as_deref(), Ok("eve"));

    let names = vec!["DNS:both.example.com".to_owned()];
    let other_id = UserId::new(1004).unwrap();
    let change =
        AccessChange::UpdateUser { user: other_id, roles: None, certificate_names: Some(names), disabled: None };
    gate.change(change).await;
    let both = certified("DNS:eve.example.com both.example.com", HERE);
    assert_eq!(admit(&none, &both).await, refused(AuthFailure::Wrong), "one certificate of two users");
    let eve_id = UserId::new(1001).unwrap();
    let change = AccessChange::UpdateUser { user: eve_id, roles: None, certificate_names: None, disabled: Some(true) };
    gate.change(change).await;
    assert_eq!(admit(&none, &eve).await, refused(AuthFailure::Wrong), "disabled");
}

/// A stop as a program signs it.
fn signed(key: &str, date: &str) -> (HeaderMap, SignedParts<'static>) {
    let parts = SignedParts {
        method: "POST",
        path: "/api/v2/ob/clusters/1/servers/2/stop",
        query: Some("force=false"),
        body: b"{}",
        host: None,
    };
    let request = SignedRequest {
        method: parts.method,
        path: parts.path,
        query: parts.query,
        host: b"127.0.0.1:8080",
        content_type: b"application/json",
        date: date.as_bytes(),
        headers: vec![("x-ocp-origin", b"test")],
        body: parts.body,
    };
    let signature = signature::sign(&SecretString::from(SECRET), &request);
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", format!("OCP-ACCESS-KEY-HMACSHA1 {key}:{signature}")),
        ("date", date.to_owned()),
        ("host", "127.0.0.1:8080".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("x-ocp-origin", "test".to_owned()),
    ] {
        headers.insert(name, value.try_into().unwrap());
    }
    (headers, parts)
}

#[tokio::test]
async fn a_signature_proves_its_user_over_rest_only() {
    let gate = Gate::new(limits()).await;
    let date = signature::date(gate.clock.now());
    let (headers, parts) = signed(KEY, &date);
    let admit = async |headers: &HeaderMap, parts| {
        name(gate.gatekeeper.admit(headers, Some(parts), &peer(HERE), TraceContext::of_random(1, 1)).await)
    };
    assert_eq!(admit(&headers, parts).await.as_deref(), Ok("eve"));
    // Over HTTP/2 the host is its authority.
    let mut without_host = headers.clone();
    without_host.remove("host");
    let authority = SignedParts { host: Some("127.0.0.1:8080"), ..parts };
    assert_eq!(admit(&without_host, authority).await.as_deref(), Ok("eve"));
    assert_eq!(name(gate.admit(&headers, &peer(HERE)).await), refused(AuthFailure::Malformed), "gRPC signs nothing");

    for (what, changed) in [
        ("body", SignedParts { body: b"{\"force\":true}", ..parts }),
        ("path", SignedParts { path: "/api/v2/ob/clusters/1/servers/3/stop", ..parts }),
        ("query", SignedParts { query: Some("force=true"), ..parts }),
        ("method", SignedParts { method: "PUT", ..parts }),
        ("host", SignedParts { host: Some("127.0.0.1:8081"), ..parts }),
    ] {
        let gate = Gate::new(limits()).await;
        let answer = gate.gatekeeper.admit(&headers, Some(changed), &peer(HERE), TraceContext::of_random(1, 1)).await;
        assert_eq!(name(answer), refused(AuthFailure::Wrong), "{what}");
    }
    for (header, value) in
        [("x-ocp-origin", "else"), ("x-ocp-more", "1"), ("content-md5", "0"), ("content-type", "x/y")]
    {
        let gate = Gate::new(limits()).await;
        let mut headers = headers.clone();
        headers.insert(header, HeaderValue::from_static(value));
        let answer = gate.gatekeeper.admit(&headers, Some(parts), &peer(HERE), TraceContext::of_random(1, 1)).await;
        assert_eq!(name(answer), refused(AuthFailure::Wrong), "{header}");
    }
}

#[tokio::test]
async fn a_signature_is_of_now_and_of_an_enabled_key_and_user() {
    let gate = Gate::new(LimitsConfig { login_failures: 1, ..limits() }).await;
    let admit = async |(headers, parts): (HeaderMap, SignedParts<'static>)| {
        name(gate.gatekeeper.admit(&headers, Some(parts), &peer(HERE), TraceContext::of_random(1, 1)).await)
    };
    let now = gate.clock.now();
    let dated = |moment| signed(KEY, &signature::date(moment));
    let (close, far) = (Duration::from_secs(14 * 60 + 58), Duration::from_secs(15 * 60 + 2));
    assert_eq!(admit(dated(now.minus(close))).await.as_deref(), Ok("eve"));
    assert_eq!(admit(dated(now.plus(close))).await.as_deref(), Ok("eve"));
    assert_eq!(admit(dated(now.minus(far))).await, refused(AuthFailure::DateSkewed));
    assert_eq!(admit(dated(now.plus(far))).await, refused(AuthFailure::DateSkewed));
    let (mut headers, parts) = dated(now);
    headers.remove("date");
    assert_eq!(admit((headers, parts)).await, refused(AuthFailure::DateMissing));
    for key in ["DISABLEDKEY1", "KEYOFNOBODY1", "UNKNOWNKEY01"] {
        assert_eq!(admit(signed(key, &signature::date(now))).await, refused(AuthFailure::Wrong), "{key}");
        let again = admit(signed(key, &signature::date(now))).await;
        assert!(matches!(again, Err(Refusal::LoginThrottled { .. })), "{key}: {again:?}");
    }
    assert_eq!(admit(dated(now)).await.as_deref(), Ok("eve"), "another key is not affected");
    let key: AccessKeyId = KEY.parse().unwrap();
    gate.change(AccessChange::RotateKey { id: key, secret: SecretString::from("another secret of it") }).await;
    assert_eq!(admit(dated(now)).await, refused(AuthFailure::Wrong), "its secret was rotated");
}

#[tokio::test(start_paused = true)]
async fn each_principal_has_its_rate_and_its_watches() {
    let limits = LimitsConfig { requests_per_10_seconds: 2, watches_per_principal: 1, ..limits() };
    let gate = Gate::new(limits).await;
    let (none, eve, other) =
        (HeaderMap::new(), certified("DNS:eve.example.com", HERE), certified("URI:spiffe://example.com/other", HERE));
    let first = gate.admit(&none, &eve).await.unwrap();
    let rate = first.rate.unwrap();
    assert_eq!((rate.limit, rate.remaining, rate.reset_seconds), (2, 1, 10));
    assert_eq!(gate.admit(&none, &eve).await.unwrap().rate.unwrap().remaining, 0);
    let denied = gate.admit(&none, &eve).await.unwrap_err();
    assert!(matches!(denied.refusal, Refusal::RateLimited { limit: 2, window_seconds: 10, .. }), "{denied:?}");
    assert_eq!(denied.rate.unwrap().remaining, 0);
    let second = gate.admit(&none, &other).await.unwrap();
    let denied = gate.admit(&basic("eve", "wrong"), &peer(HERE)).await.unwrap_err();
    assert!(denied.rate.is_none(), "whose rate it is, is not known");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(gate.admit(&none, &eve).await.is_ok());

    let held = gate.gatekeeper.watch(&first.caller).unwrap();
    let refused = gate.gatekeeper.watch(&first.caller).unwrap_err();
    assert_eq!(refused, Refusal::TooManyWatches { principal: Principal::new("eve"), limit: 1 });
    assert!(gate.gatekeeper.watch(&second.caller).is_ok());
    drop(held);
    assert!(gate.gatekeeper.watch(&first.caller).is_ok());
}
