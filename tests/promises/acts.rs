//! What was done to the cluster and its processes, by the cluster's own record, against the intents of the tasks: every act
//! has one intent that was on disk before it, and what is said of an intent is what happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use obsteward::proto::v1;
use obsteward::proto::v1::task_event::Kind as Event;
use obsteward::sim::{Kind, Recorded};

use super::log::micros;
use super::{Evidence, is_of_whole_cluster};

/// An act that sets or clears what keeps a server out of service.
const MARKS: [Kind; 4] = [Kind::MarkSet, Kind::MarkCleared, Kind::ZoneStopped, Kind::ZoneStarted];

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

    /// Whether its task acts on a zone, so that its servers are out of service when that is INACTIVE.
    fn is_of_zone(&self) -> bool {
        matches!(self.task.target, Some(v1::task::Target::Zone(_)))
    }

    fn is_of_whole_cluster(&self) -> bool {
        is_of_whole_cluster(self.task)
    }

    fn accepts(&self, risk: v1::Risk) -> bool {
        self.task.accepted_risks.contains(&risk.into())
    }

    fn accepts_less_than_a_majority(&self) -> bool {
        self.accepts(v1::Risk::QuorumLoss) || self.accepts(v1::Risk::ClusterUnreachable)
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
    acts.rollouts(broken);
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
        | Kind::ZoneStopped
        | Kind::ZoneStarted
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

/// Whether both are about the STOP_TIME of one server, or about one zone.
fn is_same_mark(one: &Recorded, other: &Recorded) -> bool {
    let both_mark = MARKS.contains(&one.kind) && MARKS.contains(&other.kind);
    both_mark && one.server == other.server && (one.server.is_some() || one.text == other.text)
}

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
        for line in self.remembered().filter(|line| MARKS.contains(&line.kind)) {
            let Some(session) = line.session.and_then(|session| i64::try_from(session).ok()) else { continue };
            let verb = match line.kind {
                Kind::MarkSet => "STOP SERVER",
                Kind::MarkCleared => "START SERVER",
                Kind::ZoneStopped => "STOP ZONE",
                _ => "START ZONE",
            };
            let marked = match line.server {
                Some(_) => format!("'{}'", self.address(line.server).unwrap_or_default()),
                None => format!("'{}'", line.text),
            };
            let own: Vec<&Known<'_>> = self.of_session(session).filter(|intent| intent.says(verb)).collect();
            if !own.iter().any(|intent| intent.says(&marked)) {
                broken.push(format!("7: no intent stands behind {line:?}"));
            }
            for intent in own.into_iter().filter(|intent| intent.did_not_happen()) {
                // What somebody else takes back is found not done.
                let taken_back = intent.is(v1::IntentOutcome::Void)
                    && self.remembered().any(|later| {
                        later.sequence > line.sequence
                            && is_same_mark(later, line)
                            && later.session.is_none()
                            && later.kind != line.kind
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
            if before.iter().any(|intent| intent.is_of_whole_cluster()) {
                self.of_whole_cluster(line, &before, broken);
                continue;
            }
            let accepted = before.iter().any(|intent| intent.accepts_less_than_a_majority());
            let by_zone = before.iter().any(|intent| intent.is_of_zone());
            let marked = self.is_marked(line) || by_zone && self.is_zone_marked(line);
            if !accepted && !marked {
                broken.push(format!("6: STOP_TIME was not set: {line:?}"));
            }
        }
    }

    /// A process of a whole cluster is ended for somebody who accepted that service ends, and behind what its task says of its
    /// freezes.
    fn of_whole_cluster(&self, line: &Recorded, before: &[&Known<'_>], broken: &mut Vec<String>) {
        if !before.iter().any(|intent| intent.accepts(v1::Risk::ServiceLoss)) {
            broken.push(format!("6: nobody accepted SERVICE_LOSS, and yet {line:?}"));
        }
        let is_of_it = |intent: &&Known<'_>| before.iter().any(|end| end.task.id == intent.task.id);
        let said = self.intents.iter().filter(is_of_it).filter(|intent| intent.is(v1::IntentOutcome::Done));
        for freeze in said.filter(|intent| intent.says("MINOR FREEZE")) {
            let of_it = |earlier: &&Recorded| {
                earlier.kind == Kind::MinorFreeze
                    && self.address(earlier.server).is_some_and(|address| freeze.says(&format!("'{address}'")))
            };
            let nothing = freeze.message.contains(" 0 of 0 log streams ");
            if !nothing && !self.record.iter().take_while(|earlier| earlier.sequence < line.sequence).any(of_it) {
                broken.push(format!("6: {} was not done before {line:?}", freeze.name()));
            }
        }
    }

    /// No log stream loses its majority by what a task did, unless somebody accepted that by name, or the other members were lost
    /// to others behind the last look.
    fn majorities(&self, broken: &mut Vec<String>) {
        for line in self.remembered().filter(|line| line.kind == Kind::MajorityLost) {
            let mut ends = self
                .remembered()
                .filter(|end| end.sequence < line.sequence)
                .filter(|end| end.kind == Kind::ProcessEnded && end.server == line.server);
            let Some(pid) = ends.next_back().and_then(pid_of) else { continue };
            let by_others = self.evidence.ended_by_others.contains(&pid);
            let accepted = self
                .of_pid(pid)
                .any(|intent| intent.accepts_less_than_a_majority() || intent.accepts(v1::Risk::ServiceLoss));
            let (_, others) = line.text.split_once(", others ").unwrap();
            let (others, before) = others.split_once(" lost before ").unwrap();
            let mut others = others.split_ascii_whitespace().map(|id| id.parse::<i64>().unwrap());
            let behind_our_back = before.parse::<i64>().unwrap() <= MARK_SEEN_MICROS
                && !others.any(|other| self.was_just_ended(other, pid, line));
            if !by_others && !accepted && !behind_our_back {
                broken.push(format!("6: a majority was lost by the end of pid {pid}: {line:?}"));
            }
        }
    }

    /// Whether a server is out because the task that ended this process ended the server's too, a moment before.
    fn was_just_ended(&self, server: i64, pid: u32, when: &Recorded) -> bool {
        let Some(end) = self.last_of(server, when.sequence, &[Kind::ProcessStarted, Kind::ProcessEnded]) else {
            return false;
        };
        let tasks: BTreeSet<i64> = self.of_pid(pid).map(|intent| intent.task.id).collect();
        let by_it = |ended: u32| {
            ended != pid
                && !self.evidence.ended_by_others.contains(&ended)
                && self.of_pid(ended).any(|intent| tasks.contains(&intent.task.id))
        };
        end.kind == Kind::ProcessEnded && when.at - end.at <= MARK_SEEN_MICROS && pid_of(end).is_some_and(by_it)
    }

    /// The last line of these kinds about a server before another.
    fn last_of(&self, server: i64, before: u64, kinds: &[Kind]) -> Option<&'a Recorded> {
        let earlier = self.record.iter().copied().take_while(|line| line.sequence < before);
        earlier.filter(|line| line.server == Some(server) && kinds.contains(&line.kind)).last()
    }

    /// A rollout takes a server out only when those that it took out before, but for its own batch, are back: their processes run
    /// unless somebody else ended them. Where a person had it pass over a subtask, that is what was asked for.
    fn rollouts(&self, broken: &mut Vec<String>) {
        for line in self.remembered().filter(|line| line.kind == Kind::MarkSet) {
            let session = line.session.and_then(|session| i64::try_from(session).ok()).unwrap_or_default();
            let Some(task) = self.of_session(session).map(|intent| intent.task).next() else { continue };
            let (Some(rollout), false) = (&task.rollout, self.evidence.has_skipped(task.id)) else { continue };
            let number = |address: &str| self.evidence.servers.iter().find(|one| one.address() == address);
            let batch = |batch: &v1::RolloutBatch| -> Vec<i64> {
                batch.servers.iter().filter_map(|server| number(&server.address)).map(|server| server.id).collect()
            };
            let batches: Vec<Vec<i64>> = rollout.batches.iter().map(batch).collect();
            let Some(at) = batches.iter().position(|batch| Some(true) == line.server.map(|id| batch.contains(&id)))
            else {
                broken.push(format!("7: task {} has no batch of {line:?}", task.id));
                continue;
            };
            let by_it = |pid: u32| self.of_pid(pid).any(|intent| intent.task.id == task.id);
            for server in batches[..at].iter().flatten() {
                let last = self.last_of(*server, line.sequence, &[Kind::ProcessStarted, Kind::ProcessEnded]);
                let out = last.filter(|last| last.kind == Kind::ProcessEnded).and_then(pid_of);
                if out.is_some_and(|pid| by_it(pid) && !self.evidence.ended_by_others.contains(&pid)) {
                    broken.push(format!("6: server {server} is still out by task {}, and yet {line:?}", task.id));
                }
            }
        }
    }

    /// Whether STOP_TIME of the line's server was set when it happened, or until somebody else cleared it behind the last look.
    fn is_marked(&self, when: &Recorded) -> bool {
        let mark = Recorded { kind: Kind::MarkSet, ..when.clone() };
        self.is_set(when, &mark)
    }

    /// The same of STOP ZONE for the zone of the line's server.
    fn is_zone_marked(&self, when: &Recorded) -> bool {
        let server = self.evidence.servers.iter().find(|server| Some(server.id) == when.server);
        let text = server.map(|server| server.zone.clone()).unwrap_or_default();
        self.is_set(when, &Recorded { kind: Kind::ZoneStopped, server: None, text, ..when.clone() })
    }

    fn is_set(&self, when: &Recorded, mark: &Recorded) -> bool {
        let before = self.record.iter().take_while(|line| line.sequence < when.sequence);
        let behind_our_back = |line: &&&Recorded| {
            line.kind != mark.kind && line.session.is_none() && when.at - line.at <= MARK_SEEN_MICROS
        };
        let marks = before.filter(|line| is_same_mark(line, mark)).filter(|line| !behind_our_back(line));
        marks.last().is_some_and(|line| line.kind == mark.kind)
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
                None if intent.says("STOP ZONE") => Kind::ZoneStopped,
                None if intent.says("START ZONE") => Kind::ZoneStarted,
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
                Kind::ZoneStopped | Kind::ZoneStarted => intent.says(&format!("'{}'", line.text)),
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
