//! What was done to the cluster and its processes, by the cluster's own record, against the intents of the tasks: every act
//! has one intent that was on disk before it, and what is said of an intent is what happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Kind, Recorded};

use super::Evidence;
use super::log::micros;

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

/// What was done, and what had been announced.
struct Acts<'a> {
    evidence: &'a Evidence,
    /// The lines of the record that tell of an act or its effect: a few of the many.
    record: Vec<&'a Recorded>,
    intents: Vec<Known<'a>>,
    by_session: HashMap<i64, Vec<usize>>,
    by_pid: HashMap<u32, Vec<usize>>,
    addresses: HashMap<i64, String>,
}

/// Everything that was done without right, or is told as it was not.
pub fn check(evidence: &Evidence, broken: &mut Vec<String>) {
    let acts = Acts::of(evidence);
    for intent in &acts.intents {
        let sql = intent.intent.connection_id.is_some();
        if !sql && intent.ends().is_none() && intent.starts().is_none() {
            broken.push(format!("5: {} is of no kind that this check knows", intent.name()));
        }
    }
    acts.statements(broken);
    acts.marks(broken);
    acts.processes(broken);
    acts.majorities(broken);
    acts.told(broken);
}

fn is_act(line: &Recorded) -> bool {
    match line.kind {
        Kind::Statement => {
            let begins = "ALTER SYSTEM";
            line.text.get(..begins.len()).is_some_and(|text| text.eq_ignore_ascii_case(begins))
        }
        Kind::MarkSet
        | Kind::MarkCleared
        | Kind::Signal
        | Kind::ProcessStarted
        | Kind::ProcessEnded
        | Kind::MajorityLost
        | Kind::MinorFreeze => true,
        _ => false,
    }
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
                let at_micros = event.event_time.as_ref().map_or(0, micros);
                let settled = outcomes.get(&intent.intent).copied();
                let (outcome, message) = (settled.map(|(outcome, _)| outcome), settled.map_or("", |(_, said)| said));
                known.push(Known { task: &task.shown, intent, at_micros, outcome, message });
            }
        }
    }
    known
}

/// How long before a process ends the last look at its mark may have been: the life of a ticket, the call on its way, and the
/// time between SIGTERM and SIGKILL.
const MARK_SEEN_MICROS: i64 = 15_000_000;

fn pid_of(line: &Recorded) -> Option<u32> {
    line.text.strip_prefix("pid ")?.split(' ').next()?.parse().ok()
}

impl<'a> Acts<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let intents = intents(evidence);
        let (mut by_session, mut by_pid) = (HashMap::<_, Vec<usize>>::new(), HashMap::<_, Vec<usize>>::new());
        for (number, intent) in intents.iter().enumerate() {
            if let Some(session) = intent.intent.connection_id {
                by_session.entry(session).or_default().push(number);
            }
            if let Some(pid) = intent.ends() {
                by_pid.entry(pid).or_default().push(number);
            }
        }
        let record = evidence.record.iter().filter(|line| is_act(line)).collect();
        let addresses = evidence.servers.iter().map(|server| (server.id, server.address())).collect();
        Self { evidence, record, intents, by_session, by_pid, addresses }
    }

    /// What the record holds of tasks that are known.
    fn remembered(&self) -> impl DoubleEndedIterator<Item = &'a Recorded> {
        self.record.iter().copied().filter(|line| line.sequence > self.evidence.forgotten_before)
    }

    /// The intents of effects by a session.
    fn of_session(&self, session: i64) -> impl Iterator<Item = &Known<'a>> {
        self.by_session.get(&session).into_iter().flatten().map(|number| &self.intents[*number])
    }

    /// The intents to end a process.
    fn of_pid(&self, pid: u32) -> impl Iterator<Item = &Known<'a>> {
        self.by_pid.get(&pid).into_iter().flatten().map(|number| &self.intents[*number])
    }

    fn address(&self, server: Option<i64>) -> Option<&str> {
        self.addresses.get(&server?).map(String::as_str)
    }

    fn was_before(&self, intent: &Known<'_>, line: &Recorded) -> bool {
        intent.at_micros <= line.at + self.clock_ahead()
    }

    fn clock_ahead(&self) -> i64 {
        i64::try_from(self.evidence.clock_ahead.as_micros()).unwrap()
    }

    /// Each statement that acts was announced, once, by an intent of just this session, and no session sent two.
    fn statements(&self, broken: &mut Vec<String>) {
        let mut sessions = BTreeSet::new();
        for line in self.remembered().filter(|line| line.kind == Kind::Statement) {
            let session = line.session.and_then(|session| i64::try_from(session).ok()).unwrap_or_default();
            let servers = &self.evidence.servers;
            let endpoint = servers.iter().find(|server| Some(server.id) == line.server).map(|it| it.endpoint());
            let own = |intent: &&Known<'_>| {
                Some(&intent.intent.endpoint) == endpoint.as_ref() && intent.intent.description == line.text
            };
            match self.of_session(session).filter(own).collect::<Vec<_>>()[..] {
                [intent] if self.was_before(intent, line) => {}
                [intent] => broken.push(format!("5: {} was on disk only after its statement {line:?}", intent.name())),
                ref several => broken.push(format!("3: {} intents stand behind {line:?}", several.len())),
            }
            if !sessions.insert((line.server, session)) {
                broken.push(format!("3: session {session} sent a second statement: {line:?}"));
            }
        }
    }

    /// Marks are set and cleared by announced statements, or by somebody else.
    fn marks(&self, broken: &mut Vec<String>) {
        for line in self.remembered().filter(|line| matches!(line.kind, Kind::MarkSet | Kind::MarkCleared)) {
            let Some(session) = line.session.and_then(|session| i64::try_from(session).ok()) else { continue };
            let verb = if line.kind == Kind::MarkSet { "STOP SERVER" } else { "START SERVER" };
            let address = format!("'{}'", self.address(line.server).unwrap_or_default());
            let own: Vec<&Known<'_>> = self.of_session(session).filter(|intent| intent.says(verb)).collect();
            if !own.iter().any(|intent| intent.says(&address)) {
                broken.push(format!("7: no intent stands behind {line:?}"));
            }
            for intent in own.into_iter().filter(|intent| intent.did_not_happen()) {
                // What somebody else takes back is found not done.
                let taken_back = intent.is(v1::IntentOutcome::Void)
                    && self.remembered().any(|later| {
                        later.sequence > line.sequence
                            && later.server == line.server
                            && later.session.is_none()
                            && later.kind != line.kind
                            && matches!(later.kind, Kind::MarkSet | Kind::MarkCleared)
                    });
                if !taken_back {
                    broken.push(format!("5: {} is {:?}, and yet {line:?}", intent.name(), intent.outcome));
                }
            }
        }
    }

    /// The process of a server, by the record up to a line.
    fn running(&self, server: Option<i64>, upto: u64) -> Option<u32> {
        let before = self.record.iter().take_while(|line| line.sequence < upto).filter(|line| line.server == server);
        let last = before.filter(|line| matches!(line.kind, Kind::ProcessStarted | Kind::ProcessEnded)).last()?;
        if last.kind == Kind::ProcessStarted { pid_of(last) } else { None }
    }

    /// Signals and ends: announced, and only while STOP_TIME was set.
    fn processes(&self, broken: &mut Vec<String>) {
        let mut signals: BTreeMap<u32, usize> = BTreeMap::new();
        for line in self.remembered().filter(|line| matches!(line.kind, Kind::Signal | Kind::ProcessEnded)) {
            let is_signal = line.kind == Kind::Signal;
            let pid = if is_signal { self.running(line.server, line.sequence) } else { pid_of(line) };
            let Some(pid) = pid.filter(|pid| !self.evidence.ended_by_others.contains(pid)) else { continue };
            let before: Vec<&Known<'_>> = self.of_pid(pid).filter(|intent| self.was_before(intent, line)).collect();
            if before.is_empty() {
                broken.push(format!("7: no intent stands behind {line:?}"));
                continue;
            }
            if is_signal {
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
            if !accepted && !self.is_marked(line) {
                broken.push(format!("6: STOP_TIME was not set: {line:?}"));
            }
        }
    }

    /// No log stream loses its majority by what a task did, unless somebody accepted that by name, or the other members were lost
    /// behind the last look.
    fn majorities(&self, broken: &mut Vec<String>) {
        for line in self.remembered().filter(|line| line.kind == Kind::MajorityLost) {
            let mut ends = self
                .remembered()
                .filter(|end| end.sequence < line.sequence)
                .filter(|end| end.kind == Kind::ProcessEnded && end.server == line.server);
            let Some(pid) = ends.next_back().and_then(pid_of) else { continue };
            let by_others = self.evidence.ended_by_others.contains(&pid);
            let accepted = self.of_pid(pid).any(|intent| !intent.task.accepted_risks.is_empty());
            let others_lost_before = line.text.rsplit(' ').next().and_then(|micros| micros.parse::<i64>().ok());
            let behind_our_back = others_lost_before.is_some_and(|micros| micros <= MARK_SEEN_MICROS);
            if !by_others && !accepted && !behind_our_back {
                broken.push(format!("6: a majority was lost by the end of pid {pid}: {line:?}"));
            }
        }
    }

    /// Whether STOP_TIME of the line's server was set when it happened, or until somebody else cleared it behind the last look.
    fn is_marked(&self, when: &Recorded) -> bool {
        let before = self.record.iter().take_while(|line| line.sequence < when.sequence);
        let of_server = before.filter(|line| line.server == when.server);
        let marks = of_server.filter(|line| matches!(line.kind, Kind::MarkSet | Kind::MarkCleared));
        let behind_our_back = |line: &&&Recorded| {
            line.kind == Kind::MarkCleared && line.session.is_none() && when.at - line.at <= MARK_SEEN_MICROS
        };
        marks.filter(|line| !behind_our_back(line)).last().is_some_and(|line| line.kind == Kind::MarkSet)
    }

    /// What is said to be done was done.
    fn told(&self, broken: &mut Vec<String>) {
        for intent in self.intents.iter().filter(|intent| intent.is(v1::IntentOutcome::Done)) {
            let (ends, starts) = (intent.ends(), intent.starts());
            let wanted = match ends {
                Some(_) => Kind::ProcessEnded,
                None if starts.is_some() => Kind::ProcessStarted,
                None if intent.says("STOP SERVER") => Kind::MarkSet,
                None if intent.says("START SERVER") => Kind::MarkCleared,
                None => Kind::MinorFreeze,
            };
            let address = |line: &Recorded| self.address(line.server);
            let happened = self.record.iter().filter(|line| line.kind == wanted).any(|line| match wanted {
                Kind::ProcessEnded => pid_of(line) == ends,
                // Somebody else may have started it behind the last look.
                Kind::ProcessStarted => {
                    starts.is_some()
                        && starts == address(line)
                        && intent.at_micros - MARK_SEEN_MICROS <= line.at + self.clock_ahead()
                }
                // Whose statement it was does not matter: a lost one is made good by the next.
                _ => address(line).is_some_and(|address| intent.says(&format!("'{address}'"))),
            });
            // The cluster hears of a process once that listens.
            let later = wanted == Kind::ProcessStarted && intent.message.ends_with("does not listen yet");
            // Where there is nothing to freeze, it is frozen.
            let nothing = wanted == Kind::MinorFreeze && intent.message.contains(" 0 of 0 log streams ");
            if !happened && !later && !nothing {
                broken.push(format!("5: {} is DONE, and the cluster knows of no {wanted:?}", intent.name()));
            }
        }
    }
}
