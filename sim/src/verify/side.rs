//! The near end of a verifying process: start it under its circumstances, order runs, hear how they ended.
//!
//! **Invariant**: a process never outlives its [`Side`]. It judges nothing.

use std::{
    ffi::OsString,
    io::{self, BufReader},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    source::{Circumstances, Factor},
    wire::{self, Answer, Hello, Order, Ready},
};
use crate::interpose::launch;

/// How to start a process that calls [`super::worker::serve`] and nothing before it.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program, as an absolute path: the working directory is one of the factors.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that it needs, under all circumstances.
    pub environment: Vec<(OsString, OsString)>,
    /// The longest that one run may take in real time.
    pub limit: Duration,
}

/// A process under way. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Side {
    process: Child,
    orders: UnixStream,
    answers: BufReader<UnixStream>,
    pub(super) ready: Ready,
}

impl Side {
    pub(super) fn start(
        launcher: &Launcher,
        inputs: &[(PathBuf, String)],
        circumstances: Circumstances,
    ) -> io::Result<Self> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&launcher.program);
        command
            .args(&launcher.arguments)
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            // A refused run says so on stderr, too; here its exit status has said it.
            .stderr(Stdio::null());
        let odd = circumstances.changes(Factor::Surroundings);
        if odd {
            command.current_dir("/").envs(surroundings());
        }
        command.envs(
            launcher
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        let mask = if odd { 0o077 } else { 0o022 };
        launch::prepare(&mut command, circumstances.changes(Factor::Addresses), mask);
        let mut process = command.spawn()?;
        // The command holds the other end until it is gone, and then only the process does.
        drop(command);
        let hello = Hello {
            inputs: inputs.to_vec(),
            circumstances,
            limit_ms: u64::try_from(launcher.limit.as_millis()).unwrap_or(u64::MAX),
        };
        let greeted = (|| {
            wire::send(&mut ours, &hello)?;
            let mut answers = BufReader::new(ours.try_clone()?);
            let ready = wire::receive(&mut answers)?.ok_or_else(ended)?;
            Ok((answers, ready))
        })();
        match greeted {
            Ok((answers, ready)) => Ok(Self {
                process,
                orders: ours,
                answers,
                ready,
            }),
            Err(error) => {
                // It may have ended by itself; either way it is gone afterwards.
                let _ = process.kill();
                let _ = process.wait();
                Err(error)
            }
        }
    }

    pub(super) fn order(&mut self, order: Order) -> io::Result<()> {
        wire::send(&mut self.orders, &order)
    }

    /// No more orders will come.
    pub(super) fn close(&self) {
        // A process that has ended already has closed its end itself.
        let _ = self.orders.shutdown(Shutdown::Write);
    }

    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        wire::receive(&mut self.answers)?.ok_or_else(ended)
    }

    /// One run.
    pub(super) fn run(&mut self, order: Order) -> io::Result<Answer> {
        self.order(order)?;
        self.close();
        self.answer()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ended() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "a verifying process ended before its runs did",
    )
}

/// Other surroundings: their size moves the stack, their values are what programs look at.
fn surroundings() -> impl Iterator<Item = (String, String)> {
    let named = [
        ("TZ", "Asia/Kathmandu"),
        ("LANG", "tr_TR.UTF-8"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("HOME", "/"),
        ("TMPDIR", "/tmp"),
        ("COLUMNS", "40"),
        ("USER", "somebody"),
        ("RUST_BACKTRACE", "1"),
    ];
    let named = named.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let large = (0..40).map(|number| (format!("REHEARSAL_SURROUNDINGS_{number}"), "x".repeat(999)));
    named.into_iter().chain(large)
}
