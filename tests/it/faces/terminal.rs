//! The command line before people's eyes: the real program in a pseudo-terminal. What counts is what is seen, that it fits, and
//! that the terminal is as it was when the program has ended.

use std::process::Stdio;

use obsteward::config::Config;
use obsteward::proto::v1;
use obsteward::sim::{Fault, FaultKind};

use crate::support::program::{Program, end_of, lasting_address, obsteward};
use crate::support::terminal::Terminal;
use crate::support::{Stage, quick};

const CTRL_C: u8 = 3;
const CTRL_Z: u8 = 26;

fn full(picture: &str) -> usize {
    picture.matches('█').count()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tasks_are_seen_at_a_glance_until_somebody_has_seen_enough() {
    let address = lasting_address();
    let mut stage = Stage::with(quick(), |config: &mut Config| config.server.listen = address).await;
    let program = Program::of(address);
    let mut terminal = Terminal::run(&program.line("watch"), 80, 24);
    terminal.until("nothing", |picture| picture.contains("no task is open; waiting for the next one")).await;
    assert!(terminal.screen(|screen| screen.alternate_screen() && screen.hide_cursor()));

    let stuck = stage.sim.inject(Fault::on(FaultKind::LeaderSwitchStuck { tenant: None, ls: None }, 2));
    let two = stage.info(2).address();
    let id = stage.clients.stop_with(stage.request(2).await).await.unwrap().id;
    let waits = terminal.until("a wait", |picture| picture.contains("leaders still on zone2")).await;
    let first = waits.lines().find(|line| line.starts_with(&id.to_string())).unwrap();
    assert!(first.contains("RUNNING for ") && first.contains(&format!("Stop OB server  {two} of ")), "{waits}");
    assert!(waits.contains(" of 8 steps  Stop server for ") && waits.contains("1 task open"), "{waits}");
    assert!(full(&waits) > 0 && waits.contains('░'), "{waits}");

    // A narrower window: everything is drawn anew, and fits.
    terminal.resize(40, 24);
    let narrow = |picture: &str| {
        picture.contains("leaders still on") && picture.lines().any(|line| line.trim() == format!("http://{address}"))
    };
    terminal.until("the narrow picture", narrow).await;
    assert!(terminal.screen(|screen| (0..24).all(|row| !screen.row_wrapped(row))), "{}", terminal.seen());
    terminal.resize(100, 30);

    // The service goes and comes back.
    stage.end_service().await;
    terminal.until("the loss", |picture| picture.contains("watch interrupted (")).await;
    stage.restart().await;
    let back =
        |picture: &str| picture.contains("Ctrl-C ends the watching") && picture.contains("leaders still on zone2");
    terminal.until("the service again", back).await;

    // Stopped and told to go on, as a shell does: the terminal is given back meanwhile.
    terminal.press(CTRL_Z);
    terminal.until("the shell's screen", |picture| !picture.contains("obsteward watch")).await;
    assert!(terminal.screen(|screen| !screen.alternate_screen() && !screen.hide_cursor()));
    terminal.go_on();
    terminal.until("the picture again", back).await;

    // Nothing is in its way any more: it ends, and stays a moment with its outcome.
    stage.sim.clear(stuck);
    let far = terminal.until("the bar move", |picture| full(picture) > full(&waits) + 3).await;
    assert!(far.contains("RUNNING for "), "{far}");
    let ended = terminal.until("the end", |picture| picture.contains("SUCCESSFUL in ")).await;
    assert!(ended.contains("no task open") && ended.contains("by "), "{ended}");
    assert_eq!(stage.clients.task(id).await.state(), v1::TaskState::Successful);

    let v1::StopServerRequest { cluster_id, server_id, .. } = stage.request(2).await;
    let start = v1::StartServerRequest { cluster_id, server_id, ..Default::default() };
    stage.sim.inject(Fault::on(FaultKind::ReplicaLagging { lag_ms: 60_000 }, 2));
    let next = stage.clients.servers.clone().start_server(start).await.unwrap().into_inner().task.unwrap().id;
    terminal.until("the next task", |picture| picture.contains(&format!("{next}  RUNNING for "))).await;
    terminal.press(CTRL_C);
    assert_eq!(terminal.ended().await, Some(0));
    let words = "1 task goes on without a watcher, look again with: obsteward watch";
    let last = terminal.until("the last words", |picture| picture.contains(words)).await;
    assert!(last.contains(&format!("task {id} SUCCESSFUL: Stop OB server {two}")), "{last}");
    assert!(last.contains(&format!("{next}  RUNNING for ")), "{last}");
    assert!(terminal.screen(|screen| !screen.alternate_screen() && !screen.hide_cursor()));
    assert_eq!(stage.clients.task(next).await.state(), v1::TaskState::Running);
}

/// Where it is no terminal there is nothing to draw: lines come, as with --all.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_it_is_lines() {
    let address = lasting_address();
    let stage = Stage::with(quick(), |config: &mut Config| config.server.listen = address).await;
    let program = Program::of(address);
    let mut watch = program.start("watch --no-progress");
    watch.err_until(|line| line == "no task is open; waiting for the next one").await;
    let id = stage.stop_as(stage.request(2).await).await.id;
    watch.out_until(|line| line.starts_with(&format!("{id}  ")) && line.ends_with("RUNNING -> SUCCESSFUL")).await;
    watch.signal(rustix::process::Signal::INT);
    let ended = watch.ended().await.with(0);
    assert!(ended.err.contains(
        "the tasks go on without a watcher, go on where this ended with: obsteward watch --all --after-seq "
    ));
}

#[tokio::test]
async fn shells_and_man_read_what_is_written_for_them() {
    let script = end_of(obsteward("completions bash")).await.with(0).out;
    let mut bash = std::process::Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
    assert!(script.contains("--request-id") && script.contains("give-up"), "{script}");

    let page = end_of(obsteward("man")).await.with(0).out;
    assert!(page.contains(".TH obsteward 1") && page.contains("obsteward\\-stop(1)"), "{page}");
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    end_of(obsteward(&format!("man --directory {}", pages.display()))).await.with(0);
    let stop = std::fs::read_to_string(pages.join("obsteward-stop.1")).unwrap();
    assert!(stop.contains("Take a server out of service"), "{stop}");
    assert!(pages.join("obsteward-tasks-rollback.1").exists());
    let man = std::process::Command::new("man").args(["-l", "--warnings"]).arg(pages.join("obsteward-stop.1")).output();
    // Not every machine has it.
    if let Ok(man) = man {
        let (shown, wrong) = (String::from_utf8_lossy(&man.stdout), String::from_utf8_lossy(&man.stderr));
        assert!(shown.contains("--accept-risk") && wrong.is_empty(), "{wrong}\n{shown}");
    }
    let nowhere = end_of(obsteward("man --directory /proc/nowhere")).await.with(1);
    assert!(nowhere.err.contains("cannot write the manual to /proc/nowhere"), "{nowhere:?}");
}
