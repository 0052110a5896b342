//! Seed after seed, each in a process of its own, for as long as there are some.
//!
//! **Invariant**: results are handed on in the order of the units whatever order they end in, and no more of them are kept than the pool runs
//! ahead. It judges nothing.

use std::{cell::RefCell, collections::VecDeque, num::NonZeroUsize, ops::ControlFlow};

use rehearsal_sim::{
    child::Pool,
    engine::Engine,
    run::{self, Outcome, RunError},
    system::System,
};

use crate::{files::Input, interrupt::Interrupt, session::RUN_LIMIT};

/// One run to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which of the inputs.
    pub input: usize,
    /// With which seed.
    pub seed: u64,
    /// Whether it repeats the unit before it, to compare the two.
    pub again: bool,
}

/// Runs `units` and hands each on, until there are no more, `receive` breaks off or Ctrl-C is pressed.
pub fn run<S>(
    inputs: &[Input<S>],
    units: impl Iterator<Item = Unit>,
    engine: Engine,
    jobs: NonZeroUsize,
    interrupt: &Interrupt,
    mut receive: impl FnMut(Unit, Result<Outcome, RunError>) -> ControlFlow<()>,
) where
    S: System,
{
    let pool = Pool::new(jobs, RUN_LIMIT).until(interrupt.flag());
    let under_way: RefCell<VecDeque<Unit>> = RefCell::default();
    let bodies = units.take_while(|_| !interrupt.pressed()).map(|unit| {
        under_way.borrow_mut().push_back(unit);
        let input = &inputs[unit.input];
        move || {
            interrupt.ends_this_process();
            match input.source.plan(&input.file, unit.seed) {
                Ok(plan) => run::body(&plan, engine, false),
                Err(refused) => {
                    let error = RunError::Engine(refused.to_string());
                    serde_json::to_vec(&Err::<Outcome, _>(error)).expect("an error is plain data")
                }
            }
        }
    });
    pool.run_in_order(bodies, |_, result| {
        let unit = under_way
            .borrow_mut()
            .pop_front()
            .expect("what ends was started");
        if interrupt.pressed() {
            return ControlFlow::Break(());
        }
        let outcome = result
            .map_err(run::failed)
            .and_then(|bytes| run::read(&bytes));
        receive(unit, outcome)
    });
}
