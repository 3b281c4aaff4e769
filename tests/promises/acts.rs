//! What was done to the cluster and its processes, by the cluster's own record, against the intents of the tasks: every act
//! has one intent that was on disk before it, and what is said of an intent is what happened.

use std::collections::{BTreeMap, BTreeSet};

use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Kind, Recorded};

use super::Evidence;

/// An intent with what is known of it in the end.
struct Known<'a> {
    task: &'a v1::Task,
    intent: &'a v1::IntentRecorded,
    at_micros: i64,
    outcome: Option<v1::IntentOutcome>,
    /// What was said when it was settled.
    message: &'a str,
}

impl Known<'_> {
    /// The process that it ends, if that is what it does.
    fn ends(&self) -> Option<u32> {
        if self.intent.connection_id.is_some() {
            return None;
        }
        self.intent.description.strip_prefix("end pid ")?.split(' ').next()?.parse().ok()
    }

    /// The server whose process it starts, if that is what it does.
    fn starts(&self) -> Option<&str> {
        if self.intent.connection_id.is_some() {
            return None;
        }
        self.intent.description.strip_prefix("start the process of ")
    }

    fn says(&self, words: &str) -> bool {
        self.intent.description.contains(words)
    }

    fn is(&self, outcome: v1::IntentOutcome) -> bool {
        self.outcome == Some(outcome)
    }

    fn did_not_happen(&self) -> bool {
        self.is(v1::IntentOutcome::Refused) || self.is(v1::IntentOutcome::Void)
    }

    fn name(&self) -> String {
        format!("intent {} of task {} ({})", self.intent.intent, self.task.id, self.intent.description)
    }
}

/// Everything that was done without right, or is told as it was not.
pub fn check(evidence: &Evidence, broken: &mut Vec<String>) {
    let intents = intents(evidence);
    for intent in &intents {
        let sql = intent.intent.connection_id.is_some();
        if !sql && intent.ends().is_none() && intent.starts().is_none() {
            broken.push(format!("5: {} is of no kind that this check knows", intent.name()));
        }
    }
    statements(evidence, &intents, broken);
    marks(evidence, &intents, broken);
    processes(evidence, &intents, broken);
    told(evidence, &intents, broken);
}

fn intents(evidence: &Evidence) -> Vec<Known<'_>> {
    let mut known = Vec::new();
    for task in &evidence.tasks {
        let mut outcomes = BTreeMap::new();
        for event in &task.events {
            if let Some(Event::IntentSettled(settled)) = &event.kind {
                outcomes.insert(settled.intent, (settled.outcome(), settled.message.as_str()));
            }
        }
        for event in &task.events {
            if let Some(Event::IntentRecorded(intent)) = &event.kind {
                let at = event.event_time.unwrap_or_default();
                let at_micros = at.seconds * 1_000_000 + i64::from(at.nanos) / 1000;
                let settled = outcomes.get(&intent.intent).copied();
                let (outcome, message) = (settled.map(|(outcome, _)| outcome), settled.map_or("", |(_, said)| said));
                known.push(Known { task: &task.shown, intent, at_micros, outcome, message });
            }
        }
    }
    known
}

/// What the record holds of tasks that are known.
fn remembered(evidence: &Evidence) -> impl Iterator<Item = &Recorded> {
    evidence.record.iter().filter(|line| line.sequence > evidence.forgotten_before)
}

fn was_before(evidence: &Evidence, intent: &Known<'_>, line: &Recorded) -> bool {
    intent.at_micros <= line.at + i64::try_from(evidence.clock_ahead.as_micros()).unwrap()
}

/// Each statement that acts was announced, once, by an intent of just this session, and no session sent two.
fn statements(evidence: &Evidence, intents: &[Known<'_>], broken: &mut Vec<String>) {
    let mut sessions = BTreeSet::new();
    for line in remembered(evidence).filter(|line| line.kind == Kind::Statement) {
        if !line.text.to_uppercase().starts_with("ALTER SYSTEM") {
            continue;
        }
        let session = line.session.and_then(|session| i64::try_from(session).ok()).unwrap_or_default();
        let endpoint = evidence.servers.iter().find(|server| Some(server.id) == line.server).map(|it| it.endpoint());
        let own = |intent: &&Known<'_>| {
            intent.intent.connection_id == Some(session)
                && Some(&intent.intent.endpoint) == endpoint.as_ref()
                && intent.intent.description == line.text
        };
        match intents.iter().filter(own).collect::<Vec<_>>()[..] {
            [intent] if was_before(evidence, intent, line) => {}
            [intent] => broken.push(format!("5: {} was on disk only after its statement {line:?}", intent.name())),
            ref several => broken.push(format!("3: {} intents stand behind {line:?}", several.len())),
        }
        if !sessions.insert((line.server, session)) {
            broken.push(format!("3: session {session} sent a second statement: {line:?}"));
        }
    }
}

/// Marks are set and cleared by announced statements, or by somebody else.
fn marks(evidence: &Evidence, intents: &[Known<'_>], broken: &mut Vec<String>) {
    for line in remembered(evidence).filter(|line| matches!(line.kind, Kind::MarkSet | Kind::MarkCleared)) {
        let Some(session) = line.session.and_then(|session| i64::try_from(session).ok()) else { continue };
        let verb = if line.kind == Kind::MarkSet { "STOP SERVER" } else { "START SERVER" };
        let server = evidence.servers.iter().find(|server| Some(server.id) == line.server);
        let address = server.map(|server| server.address()).unwrap_or_default();
        let own = intents.iter().filter(|intent| intent.intent.connection_id == Some(session) && intent.says(verb));
        let own: Vec<&Known<'_>> = own.collect();
        if !own.iter().any(|intent| intent.says(&format!("'{address}'"))) {
            broken.push(format!("7: no intent stands behind {line:?}"));
        }
        for intent in own.into_iter().filter(|intent| intent.did_not_happen()) {
            // What somebody else takes back is found not done.
            let taken_back = intent.is(v1::IntentOutcome::Void)
                && remembered(evidence).any(|later| {
                    later.sequence > line.sequence
                        && later.server == line.server
                        && later.session.is_none()
                        && later.kind != line.kind
                        && matches!(later.kind, Kind::MarkSet | Kind::MarkCleared)
                });
            if taken_back {
                continue;
            }
            broken.push(format!("5: {} is {:?}, and yet {line:?}", intent.name(), intent.outcome));
        }
    }
}

/// The process of a server, by the record up to a line.
fn running(evidence: &Evidence, server: Option<i64>, upto: u64) -> Option<u32> {
    let mut running = None;
    for line in evidence.record.iter().take_while(|line| line.sequence < upto).filter(|line| line.server == server) {
        match line.kind {
            Kind::ProcessStarted => running = pid_of(line),
            Kind::ProcessEnded => running = None,
            _ => {}
        }
    }
    running
}

fn pid_of(line: &Recorded) -> Option<u32> {
    line.text.strip_prefix("pid ")?.split(' ').next()?.parse().ok()
}

/// Signals and ends: announced, and only while STOP_TIME was set.
fn processes(evidence: &Evidence, intents: &[Known<'_>], broken: &mut Vec<String>) {
    let mut signals: BTreeMap<u32, usize> = BTreeMap::new();
    for line in remembered(evidence).filter(|line| matches!(line.kind, Kind::Signal | Kind::ProcessEnded)) {
        let pid = if line.kind == Kind::Signal { running(evidence, line.server, line.sequence) } else { pid_of(line) };
        let Some(pid) = pid.filter(|pid| !evidence.ended_by_others.contains(pid)) else { continue };
        let before: Vec<&Known<'_>> =
            intents.iter().filter(|intent| intent.ends() == Some(pid) && was_before(evidence, intent, line)).collect();
        if before.is_empty() {
            broken.push(format!("7: no intent stands behind {line:?}"));
            continue;
        }
        if line.kind == Kind::Signal {
            // One SIGTERM for each intent; the SIGKILL behind it is the end.
            let sent = signals.entry(pid).or_default();
            *sent += 1;
            if *sent > before.len() {
                broken.push(format!("3: {sent} times SIGTERM to pid {pid} for {} intents", before.len()));
            }
        } else if before.iter().all(|intent| intent.did_not_happen()) {
            broken.push(format!("5: no intent says that it happened, and yet {line:?}"));
        }
        let accepted = before.iter().any(|intent| !intent.task.accepted_risks.is_empty());
        if !accepted && !is_marked(evidence, line) {
            broken.push(format!("6: STOP_TIME was not set: {line:?}"));
        }
    }
}

/// How long before a process ends the last look at its mark may have been: the life of a ticket, the call on its way, and the
/// time between SIGTERM and SIGKILL.
const MARK_SEEN_MICROS: i64 = 15_000_000;

/// Whether STOP_TIME of the line's server was set when it happened, or until somebody else cleared it behind the last look.
fn is_marked(evidence: &Evidence, when: &Recorded) -> bool {
    let before = evidence.record.iter().take_while(|line| line.sequence < when.sequence);
    let of_server = before.filter(|line| line.server == when.server);
    let marks = of_server.filter(|line| matches!(line.kind, Kind::MarkSet | Kind::MarkCleared));
    let behind_our_back = |line: &&Recorded| {
        line.kind == Kind::MarkCleared && line.session.is_none() && when.at - line.at <= MARK_SEEN_MICROS
    };
    marks.filter(|line| !behind_our_back(line)).last().is_some_and(|line| line.kind == Kind::MarkSet)
}

/// What is said to be done was done.
fn told(evidence: &Evidence, intents: &[Known<'_>], broken: &mut Vec<String>) {
    for intent in intents.iter().filter(|intent| intent.is(v1::IntentOutcome::Done)) {
        let happened = |wanted: Kind| {
            let of = |line: &&Recorded| match wanted {
                Kind::ProcessEnded => pid_of(line) == intent.ends(),
                Kind::ProcessStarted => {
                    let server = evidence.servers.iter().find(|server| Some(server.id) == line.server);
                    server.is_some_and(|server| intent.starts() == Some(&server.address()))
                        && was_before(evidence, intent, line)
                }
                // Whose statement it was does not matter: a lost one is made good by the next.
                _ => {
                    let server = evidence.servers.iter().find(|server| Some(server.id) == line.server);
                    server.is_some_and(|server| intent.says(&format!("'{}'", server.address())))
                }
            };
            evidence.record.iter().filter(|line| line.kind == wanted).any(|line| of(&line))
        };
        let wanted = match intent.ends() {
            Some(_) => Kind::ProcessEnded,
            None if intent.starts().is_some() => Kind::ProcessStarted,
            None if intent.says("STOP SERVER") => Kind::MarkSet,
            None if intent.says("START SERVER") => Kind::MarkCleared,
            None => Kind::MinorFreeze,
        };
        // The cluster hears of a process once that listens.
        let later = wanted == Kind::ProcessStarted && intent.message.ends_with("does not listen yet");
        // Where there is nothing to freeze, it is frozen.
        let nothing = wanted == Kind::MinorFreeze && intent.message.contains(" 0 of 0 log streams ");
        if !happened(wanted) && !later && !nothing {
            broken.push(format!("5: {} is DONE, and the cluster knows of no {wanted:?}", intent.name()));
        }
    }
}
