//! What the record keeps, refuses and survives.

use std::time::Duration;

use super::*;
use crate::agent::answer::Answer;
use crate::agent::fake_proc;
use crate::agent::ledger::{NewCall, NewEnd, Recorded};
use crate::agent::trust::trust;
use crate::domain::host::CallerFence;
use crate::domain::ids::{ClusterKey, Fence};

const MINUTE: Duration = Duration::from_secs(60);

fn open(directory: &Path, clock: &Clock) -> LedgerFile {
    LedgerFile::open(directory, clock.clone()).unwrap()
}

fn call<'a>(fence: &'a CallerFence, token: &'a str, process: &'a str) -> NewCall<'a> {
    NewCall { fence, token, wants: process, end: Some(NewEnd { process, one_end_per: MINUTE }) }
}

fn terminated() -> Answer {
    Answer::Terminated { evidence: "it ended".to_owned() }
}

#[test]
fn a_fence_survives_the_agent_and_a_lower_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::shifted();
    let ledger = open(directory.path(), &clock);
    ledger.admit(&fake_proc::fence(7)).unwrap();
    drop(ledger);

    let ledger = open(directory.path(), &clock);
    let fenced = AgentRefusal::Fenced { given: Fence::new(6), highest: Fence::new(7) };
    assert_eq!(ledger.admit(&fake_proc::fence(6)), Err(fenced.clone()));
    assert_eq!(ledger.begin(&call(&fake_proc::fence(6), "t", "p")), Err(fenced));
    assert_eq!(ledger.recorded("store-a", "t", "p"), Ok(Recorded::New), "a refused call leaves nothing behind");
    ledger.admit(&fake_proc::fence(7)).unwrap();
    ledger.admit(&fake_proc::fence(8)).unwrap();
    assert!(ledger.still_current(&fake_proc::fence(7)).is_err());
    let other = CallerFence { cluster: ClusterKey::from_stored("other#1#x".into()), ..fake_proc::fence(1) };
    ledger.admit(&other).unwrap();
}

#[test]
fn another_store_needs_the_operators_word_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Clock::system());
    let from = |store: &str, number| CallerFence { store_id: store.to_owned(), ..fake_proc::fence(number) };
    ledger.admit(&from("a", 9)).unwrap();
    assert!(matches!(ledger.admit(&from("b", 99)), Err(AgentRefusal::StoreNotTrusted { known, .. }) if known == "a"));
    trust(directory.path(), "b").unwrap();
    ledger.admit(&from("b", 1)).unwrap();
    assert!(matches!(ledger.admit(&from("a", 10)), Err(AgentRefusal::StoreNotTrusted { known, .. }) if known == "b"));
    trust(directory.path(), "a").unwrap();
    assert!(matches!(ledger.admit(&from("a", 8)), Err(AgentRefusal::Fenced { .. })), "a's fence was not forgotten");
    ledger.admit(&from("a", 10)).unwrap();
    assert!(matches!(ledger.admit(&from("b", 2)), Err(AgentRefusal::StoreNotTrusted { .. })));
}

#[test]
fn a_token_keeps_its_answer_and_its_meaning() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let fence = fake_proc::fence(1);
    let ledger = open(directory.path(), &clock);
    ledger.begin(&call(&fence, "t", "p")).unwrap();
    drop(ledger);
    let ledger = open(directory.path(), &clock);
    assert_eq!(ledger.recorded("store-a", "t", "p"), Ok(Recorded::WithoutAnswer));
    ledger.answer(&fence, "t", terminated()).unwrap();
    drop(ledger);
    let ledger = open(directory.path(), &clock);
    assert_eq!(ledger.recorded("store-a", "t", "p"), Ok(Recorded::Answered(terminated())));
    assert_eq!(ledger.recorded("store-a", "t", "q"), Err(AgentRefusal::TokenReused { token: "t".to_owned() }));
    assert_eq!(ledger.recorded("store-b", "t", "p"), Ok(Recorded::New));
}

#[test]
fn one_end_per_cluster_and_minute() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::shifted();
    let fence = fake_proc::fence(1);
    let ledger = open(directory.path(), &clock);
    let refused = |result| matches!(result, Err(AgentRefusal::TooManyEnds { .. }));
    ledger.begin(&call(&fence, "1", "p")).unwrap();
    assert!(refused(ledger.begin(&call(&fence, "2", "q"))), "one that has no answer yet counts");
    ledger.answer(&fence, "1", terminated()).unwrap();
    assert!(refused(ledger.begin(&call(&fence, "2", "q"))));
    drop(ledger);
    let ledger = open(directory.path(), &clock);
    assert!(refused(ledger.begin(&call(&fence, "2", "q"))), "it outlives the agent");
    ledger.begin(&call(&fence, "3", "p")).unwrap();
    clock.advance(MINUTE);
    ledger.begin(&call(&fence, "2", "q")).unwrap();
    let answer = Answer::Refused { reason: "IDENTITY_CHANGED".into(), message: "no".into() };
    ledger.answer(&fence, "2", answer).unwrap();
    ledger.begin(&call(&fence, "4", "r")).unwrap();
}

#[test]
fn one_agent_per_directory_and_a_damaged_record_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(directory.path(), &Clock::system());
    ledger.admit(&fake_proc::fence(1)).unwrap();
    assert!(matches!(LedgerFile::open(directory.path(), Clock::system()), Err(FileError::Locked { .. })));
    drop(ledger);
    std::fs::write(directory.path().join(FILE), "{\"clu").unwrap();
    assert!(matches!(LedgerFile::open(directory.path(), Clock::system()), Err(FileError::Damaged { .. })));
}

#[test]
fn a_start_counts_as_no_end_and_its_answer_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let fence = fake_proc::fence(1);
    let ledger = open(directory.path(), &clock);
    let start = |token| NewCall { fence: &fence, token, wants: "start", end: None };
    ledger.begin(&start("1")).unwrap();
    ledger.begin(&start("2")).unwrap();
    ledger.begin(&call(&fence, "3", "p")).unwrap();
    ledger.begin(&start("4")).unwrap();
    let answers = [
        ("1", Answer::Started { identity: fake_proc::identity(), listens: true, evidence: "it runs".into() }),
        ("2", Answer::AlreadyRunning { identity: fake_proc::identity(), evidence: "it ran".into() }),
        ("4", Answer::Died { evidence: "it died".into(), last_log_lines: vec!["why".into()] }),
    ];
    for (token, answer) in &answers {
        ledger.answer(&fence, token, answer.clone()).unwrap();
    }
    drop(ledger);
    let ledger = open(directory.path(), &clock);
    for (token, answer) in answers {
        assert_eq!(ledger.recorded("store-a", token, "start"), Ok(Recorded::Answered(answer)));
    }
    assert_eq!(ledger.recorded("store-a", "1", "p"), Err(AgentRefusal::TokenReused { token: "1".to_owned() }));
    let second = ledger.begin(&call(&fence, "5", "q"));
    assert!(matches!(second, Err(AgentRefusal::TooManyEnds { .. })), "the end between the starts counts: {second:?}");
}

/// As the agent wrote it before it could start observers.
#[test]
fn an_old_record_is_understood() {
    let directory = tempfile::tempdir().unwrap();
    let old = r#"{"clusters":{"demo#1#x":{"store_id":"store-a","word":0,"fences":{"store-a":7},"ends":[]}},
        "calls":[{"store_id":"store-a","token":"t","wants":"p","begun_micros":1,"answer":{"terminated":{"evidence":"it ended"}}},
        {"store_id":"store-a","token":"u","wants":"p","begun_micros":2,"answer":null}]}"#;
    std::fs::write(directory.path().join(FILE), old).unwrap();
    let ledger = open(directory.path(), &Clock::system());
    assert_eq!(ledger.recorded("store-a", "t", "p"), Ok(Recorded::Answered(terminated())));
    assert_eq!(ledger.recorded("store-a", "u", "p"), Ok(Recorded::WithoutAnswer));
    assert!(matches!(ledger.admit(&fake_proc::fence(6)), Err(AgentRefusal::Fenced { .. })));
}
