//! A terminal without a person before it: the program runs in a pseudo-terminal of the kernel, and what it writes is drawn by an
//! emulator, so that a test sees the same as people do.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};

use super::PATIENCE;

/// What the program has drawn so far.
struct Drawn {
    parser: vt100::Parser,
    /// Each picture that differed from the one before it.
    pictures: Vec<String>,
}

pub struct Terminal {
    keyboard: File,
    child: Child,
    drawn: Arc<Mutex<Drawn>>,
}

fn sizes(columns: u16, rows: u16) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(rows).unwrap(), NonZeroU16::new(columns).unwrap())
}

fn winsize(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    /// Runs a program in a terminal of this size, which controls it: keys become signals.
    pub fn run(command: &Command, columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, winsize(columns, rows)).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let side = || -> OwnedFd { ioctl_tiocgptpeer(&master, flags).unwrap() };
        // A new session that takes the terminal for its own; the process stays the same one.
        let command = command.as_std();
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args()).env("TERM", "xterm-256color");
        session.env_remove("NO_COLOR");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        let child = session
            .stdin(Stdio::from(side()))
            .stdout(Stdio::from(side()))
            .stderr(Stdio::from(side()))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (rows, columns) = sizes(columns, rows);
        let parser = vt100::Parser::new(rows, columns, 1000);
        let drawn = Arc::new(Mutex::new(Drawn { parser, pictures: Vec::new() }));
        let keyboard = File::from(master);
        let (mut written, shared) = (keyboard.try_clone().unwrap(), drawn.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is the end: nobody has the other side open any more.
            while let Ok(read @ 1..) = written.read(&mut bytes) {
                let mut drawn = shared.lock().unwrap();
                drawn.parser.process(&bytes[..read]);
                let picture = drawn.parser.screen().contents();
                if drawn.pictures.last() != Some(&picture) {
                    drawn.pictures.push(picture);
                }
            }
        });
        Self { keyboard, child, drawn }
    }

    /// Makes the window wider, narrower, higher or lower. The terminal's own way to fit what stands there is not played: it
    /// stays where it was, cut at the edge.
    pub fn resize(&self, columns: u16, rows: u16) {
        let mut drawn = self.drawn.lock().unwrap();
        let (narrow_rows, narrow_columns) = sizes(columns, rows);
        drawn.parser.screen_mut().set_size(narrow_rows, narrow_columns);
        tcsetwinsize(&self.keyboard, winsize(columns, rows)).unwrap();
    }

    /// Lets a program go on that stopped itself.
    pub fn go_on(&self) {
        kill_process(Pid::from_raw(self.child.id().unwrap() as i32).unwrap(), Signal::CONT).unwrap();
    }

    /// Presses a key.
    pub fn press(&mut self, key: u8) {
        self.keyboard.write_all(&[key]).unwrap();
    }

    /// What is seen now.
    pub fn seen(&self) -> String {
        self.drawn.lock().unwrap().parser.screen().contents()
    }

    /// Something that is asked of the emulated screen.
    pub fn screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.drawn.lock().unwrap().parser.screen())
    }

    /// Waits for a picture like this; those before it are forgotten.
    pub async fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let waited = async {
            loop {
                let found = {
                    let mut drawn = self.drawn.lock().unwrap();
                    let at = drawn.pictures.iter().position(|picture| is_it(picture));
                    at.and_then(|at| drawn.pictures.drain(..=at).next_back())
                };
                match found {
                    Some(picture) => return picture,
                    None => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, waited).await;
        found.unwrap_or_else(|_| panic!("{what} was not seen, at last:\n{}", self.seen()))
    }

    /// The exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        status.expect("the program does not end").unwrap().code()
    }
}
