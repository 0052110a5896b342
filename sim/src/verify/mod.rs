//! Verification: the same seed in two processes that differ in all that must not matter, and what leaked if the runs differ.
//!
//! One process of a pair has its addresses where the kernel always puts them, few variables, one run at a time and a fresh parent; the other
//! one has drawn addresses and a used heap, a large and strange environment, another working directory, several runs at once, a parent that
//! has planned before, and other clocks, entropy and hash keys until its runs begin.
//!
//! **Invariant**: a pair agrees only if everything that its runs sent back is the same, byte for byte. A leak that the interposer refuses in
//! both processes alike is no agreement either. A difference is diagnosed by experiments, not by its looks ([`diagnosis`]).

pub mod source;
mod wire;
pub mod worker;
mod side;
pub mod diagnosis;
pub mod report;

use std::{io, num::NonZeroUsize, ops::ControlFlow, path::PathBuf};

use self::{
    diagnosis::{Difference, diagnose},
    report::Conditions,
    side::Side,
    source::{Circumstances, Factor},
    wire::{Answer, Order},
};
use crate::{plan::Plan, system::System};

pub use side::Launcher;

/// How many runs each process has ahead of it: enough that it never waits, few enough that their answers fit into a socket.
const AHEAD: usize = 64;

/// A scenario or plan: its name, for messages, and its text.
pub type Input = (PathBuf, String);

/// A pair that was compared.
#[derive(Debug)]
pub struct Checked {
    /// Which of the inputs.
    pub input: usize,
    /// With which seed.
    pub seed: u64,
    /// What came of it.
    pub outcome: Compared,
}

/// What comparing two runs came to.
#[derive(Debug)]
pub enum Compared {
    /// Both runs sent back the same.
    Same {
        /// The trace's digest.
        digest: String,
    },
    /// Both runs broke off in the same way: a panic, a limit.
    Broke(String),
    /// They differ, or asked for what is refused.
    Differs(Box<Difference>),
}

/// Runs each of `orders`, an input's number and a seed, as a pair, and hands on what came of it, in order, until `receive` breaks off.
///
/// # Errors
/// When a process cannot be started, or ends before its runs did.
pub fn check(
    launcher: &Launcher,
    inputs: &[Input],
    orders: &[(usize, u64)],
    jobs: NonZeroUsize,
    mut receive: impl FnMut(Checked) -> ControlFlow<()>,
) -> io::Result<Conditions> {
    // A plain process has one run at a time, so several of them make use of several processors; one strange process has as many.
    let lanes = (jobs.get() / 2).clamp(1, orders.len().max(1));
    let mut plain = (0..lanes)
        .map(|_| Side::start(launcher, inputs, Circumstances::plain()))
        .collect::<io::Result<Vec<_>>>()?;
    let mut strange = Side::start(
        launcher,
        inputs,
        Circumstances {
            many: lanes.max(2),
            ..Circumstances::with(Factor::ALL)
        },
    )?;
    let conditions = Conditions::of(plain[0].ready, strange.ready, lanes);
    let mut ordered = 0;
    for (number, &(input, seed)) in orders.iter().enumerate() {
        while ordered < orders.len() && ordered < number + AHEAD * lanes {
            let (input, seed) = orders[ordered];
            let order = Order {
                input,
                seed,
                detail: false,
            };
            plain[ordered % lanes].order(order)?;
            strange.order(order)?;
            ordered += 1;
            if ordered == orders.len() {
                plain.iter().for_each(Side::close);
                strange.close();
            }
        }
        let pair = (plain[number % lanes].answer()?, strange.answer()?);
        let outcome = match pair {
            (Answer::Ran(one), Answer::Ran(other)) if one == other => {
                Compared::Same { digest: one.digest }
            }
            (Answer::Broke(one), Answer::Broke(other)) if one == other => Compared::Broke(one),
            (one, other) => {
                let place = (input, seed);
                Compared::Differs(Box::new(diagnose(launcher, inputs, place, &one, &other)?))
            }
        };
        let checked = Checked {
            input,
            seed,
            outcome,
        };
        if receive(checked).is_break() {
            break;
        }
    }
    Ok(conditions)
}

/// Runs one plan as a pair: for a sweep that verifies some of its runs as it goes. Prefer [`check`] for many: it starts its processes once.
///
/// # Errors
/// As [`check`].
pub fn pair<S: System>(
    launcher: &Launcher,
    plan: &Plan<S>,
) -> io::Result<Result<(), Box<Difference>>> {
    let input = (PathBuf::from(&plan.scenario), plan.to_toml());
    let mut found = Ok(());
    check(
        launcher,
        &[input],
        &[(0, plan.seed)],
        NonZeroUsize::MIN,
        |checked| {
            if let Compared::Differs(difference) = checked.outcome {
                found = Err(difference);
            }
            ControlFlow::Break(())
        },
    )?;
    Ok(found)
}
