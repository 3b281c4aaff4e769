//! Watchers of a world, which come, go, and resume where they were: of several replicas at any.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use obsteward::domain::event::Phase;
use obsteward::domain::ids::{Revision, TaskId};
use obsteward::proto::v1;
use obsteward::proto::v1::watch_task_response::Kind;
use obsteward::watch::{Until, WatchTask, watch_task};
use prost::Message;
use tokio::task::JoinHandle;

use crate::service::SeesAll;
use crate::world::World;

pub struct Watcher {
    task: TaskId,
    seen: Arc<Mutex<Vec<v1::TaskEvent>>>,
    /// The revision behind which it watches.
    after: Arc<Mutex<i64>>,
    /// At which replica, and what it does there.
    stream: Option<(usize, JoinHandle<()>)>,
}

impl Watcher {
    fn goes(&mut self) {
        if let Some((_, stream)) = self.stream.take() {
            stream.abort();
        }
    }
}

impl World {
    /// A watcher comes for the newest task, from its beginning or with a snapshot.
    pub fn watch(&mut self, from_the_beginning: bool) {
        let Some(task) = self.disk.lock().tasks.keys().next_back().copied() else { return };
        let seen: Arc<Mutex<Vec<v1::TaskEvent>>> = Arc::default();
        self.witness.watched.push(Arc::clone(&seen));
        let after = Arc::new(Mutex::new(if from_the_beginning { 0 } else { -1 }));
        self.watchers.push(Watcher { task, seen, after, stream: None });
        self.resume_watchers();
    }

    /// All watchers go.
    pub fn unwatch(&mut self) {
        self.watchers.iter_mut().for_each(Watcher::goes);
    }

    /// Those of a replica lose their connection.
    pub fn unwatch_at(&mut self, at: usize) {
        let there = |watcher: &&mut Watcher| watcher.stream.as_ref().is_some_and(|(replica, _)| *replica == at);
        self.watchers.iter_mut().filter(there).for_each(Watcher::goes);
    }

    /// Watchers that went come back, each where it was.
    pub fn resume_watchers(&mut self) {
        let several = self.is_shared();
        for number in 0..self.watchers.len() {
            self.turn();
            let Some(hub) = self.asked().map(|running| Arc::clone(&running.hub)) else { return };
            let (at, watcher) = (self.at, &mut self.watchers[number]);
            // A stream that has ended was told of its end, or its replica could not go on with it.
            if watcher.stream.as_ref().is_some_and(|(_, stream)| !several || !stream.is_finished()) {
                continue;
            }
            let task = watcher.task;
            let (seen, after) = (Arc::clone(&watcher.seen), Arc::clone(&watcher.after));
            let from = *after.lock().unwrap();
            let asked = WatchTask {
                task,
                after: (from >= 0).then(|| Revision::new(from)),
                until: Until::Closed,
                progress: false,
            };
            watcher.stream = Some((
                at,
                tokio::spawn(async move {
                    let Ok(stream) = watch_task(&hub, asked, Arc::new(SeesAll)).await else { return };
                    tokio::pin!(stream);
                    while let Some(Ok(item)) = stream.next().await {
                        let response = v1::WatchTaskResponse::decode(item.bytes().clone()).unwrap();
                        match response.kind {
                            Some(Kind::Event(event)) => {
                                *after.lock().unwrap() = event.revision;
                                seen.lock().unwrap().push(event);
                            }
                            Some(Kind::Snapshot(task)) => *after.lock().unwrap() = task.revision,
                            _ => {}
                        }
                    }
                }),
            ));
        }
    }

    /// Watchers whose task is closed, and who have not seen that.
    pub fn watchers_left_behind(&self) -> Vec<String> {
        let content = self.disk.lock();
        let behind = |watcher: &Watcher| {
            let task = &content.tasks.get(&watcher.task)?.task;
            let (closed, at) = (task.state.phase() == Phase::Closed, *watcher.after.lock().unwrap());
            (closed && at != task.revision.get()).then(|| {
                format!("9: a watcher of task {} has seen revision {at} of {} and no more", watcher.task, task.revision)
            })
        };
        self.watchers.iter().filter_map(behind).collect()
    }
}
