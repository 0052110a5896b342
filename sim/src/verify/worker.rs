//! One process of a pair: it takes orders over its stdin, a socket, runs each in a forked child, and answers.
//!
//! **Invariant**: it does for a run what every session does (plans it, forks, plans it again in the child, runs it), so that a leak of any of
//! these steps shows; and it tells its children's parent, itself, what its circumstances say before it has read the first order.

use std::{
    io::{self, BufReader},
    num::NonZeroUsize,
    ops::ControlFlow,
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{
    source::{Circumstances, Factor, Source},
    wire::{self, Answer, Hello, Order, Ran, Ready},
};
use crate::{
    child::{self, ChildError, Pool},
    engine::{EPOCH, Engine},
    interpose::{
        self, Counts, guard, launch,
        prelude::{self, Prelude},
    },
    plan::Source as Input,
    run::{self, Outcome, RunError},
    system::System,
};

/// Seeds that are planned first by a process with a history.
const EARLIER: u64 = 3;

/// Serves orders until the other end closes.
///
/// # Errors
/// When stdin is no socket, or breaks.
pub fn serve<S: System>() -> io::Result<()> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.peer_addr().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("stdin: expected the socket of `rehearsal verify`, which starts this: {error}"),
        )
    })?;
    let mut orders = BufReader::new(stream.try_clone()?);
    let Some(hello) = wire::receive::<Hello>(&mut orders)? else {
        return Ok(());
    };
    let told = hello.circumstances.prelude();
    prelude::pretend(told);
    let inputs: Vec<(PathBuf, Input<S>)> = hello
        .inputs
        .iter()
        .map(|(file, text)| Ok((file.clone(), Input::parse(file, text)?)))
        .collect::<Result<_, crate::scenario::Refused>>()
        .map_err(io::Error::other)?;
    let _held = disturb(&hello.circumstances, &inputs);
    let mut answers = stream;
    let ready = Ready {
        randomized: launch::randomizes(),
        guards: guards(),
    };
    wire::send(&mut answers, &ready)?;
    let jobs = NonZeroUsize::new(hello.circumstances.jobs()).unwrap_or(NonZeroUsize::MIN);
    let pool = Pool::new(jobs, Duration::from_millis(hello.limit_ms));
    work(&inputs, &pool, told, &mut orders, &mut answers)
}

fn work<S: System>(
    inputs: &[(PathBuf, Input<S>)],
    pool: &Pool,
    told: Prelude,
    orders: &mut BufReader<UnixStream>,
    answers: &mut UnixStream,
) -> io::Result<()> {
    let mut ended = Ok(());
    let bodies =
        std::iter::from_fn(|| wire::receive::<Order>(orders).ok().flatten()).map(|order| {
            let (file, input) = &inputs[order.input];
            // As a session does: what cannot be planned is refused before anything is forked.
            let planned = input.plan(file, order.seed).map(drop);
            move || {
                // Every child begins at the same place of these streams, however many went before it.
                prelude::pretend(told);
                if order.detail {
                    interpose::watch();
                }
                let answer = match planned.and_then(|()| input.plan(file, order.seed)) {
                    Ok(plan) => run::body(&plan, Engine::Pipes, order.detail),
                    Err(refused) => {
                        let error = RunError::Process(refused.to_string());
                        serde_json::to_vec(&Err::<Outcome, _>(error))
                            .expect("an error is plain data")
                    }
                };
                serde_json::to_vec(&(answer, interpose::take_noted())).expect("bytes and counts")
            }
        });
    pool.run_in_order(bodies, |_, result| {
        match wire::send(answers, &answer(result)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                ended = Err(error);
                ControlFlow::Break(())
            }
        }
    });
    ended
}

fn answer(result: Result<Vec<u8>, ChildError>) -> Answer {
    let bytes = match result {
        Ok(bytes) => bytes,
        Err(error) => {
            return match Source::refused(&error) {
                Some(source) => Answer::Refused(source, error.to_string()),
                None => Answer::Broke(run::failed(error).to_string()),
            };
        }
    };
    let read = serde_json::from_slice::<(Vec<u8>, Vec<Counts>)>(&bytes)
        .map_err(|error| RunError::Process(error.to_string()))
        .and_then(|(answer, asked)| {
            Ok((
                run::read(&answer)?,
                format!("{:x}", Sha256::digest(&answer)),
                asked,
            ))
        });
    match read {
        Ok((outcome, whole, asked)) => Answer::Ran(Ran {
            digest: outcome.record.digest,
            whole,
            // The first line of a trace names its format.
            entries: outcome
                .trace
                .iter()
                .flat_map(|trace| trace.lines().skip(1).map(str::to_owned))
                .collect(),
            asked,
        }),
        Err(error) => Answer::Broke(error.to_string()),
    }
}

/// What the circumstances say was before: other plans, another heap. The heap is held until the process ends.
fn disturb<S: System>(
    circumstances: &Circumstances,
    inputs: &[(PathBuf, Input<S>)],
) -> Vec<Vec<u8>> {
    if circumstances.changes(Factor::History) {
        for (file, input) in inputs {
            for seed in 0..EARLIER {
                // What cannot be planned is reported when it is ordered.
                let _ = input.plan(file, u64::MAX - seed);
            }
        }
    }
    if circumstances.changes(Factor::Addresses) {
        interpose::begin_used();
        (1..200).map(|size| vec![1; size * 37]).collect()
    } else {
        Vec::new()
    }
}

/// Which guards hold in a simulated process of this machine.
fn guards() -> guard::State {
    let probe = child::run(Duration::from_secs(30), || {
        interpose::enter(0, EPOCH);
        serde_json::to_vec(&guard::state()).expect("two flags")
    });
    probe
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}
