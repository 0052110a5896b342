//! One run, one process: every way in which a child can end, and the pool.

use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    ops::ControlFlow,
    time::Duration,
};

use rehearsal_core::time::Timestamp;
use rehearsal_sim::{
    child::{self, ChildError, Pool},
    interpose,
};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_megabyte_comes_back_whole() {
    let sent: Vec<u8> = (0..1_048_576u32).map(|i| (i % 251) as u8).collect();
    let expected = sent.clone();
    assert_eq!(child::run(LIMIT, move || sent), Ok(expected));
    assert_eq!(child::run(LIMIT, Vec::new), Ok(Vec::new()));
}

#[test]
fn a_panic_is_reported_with_its_message_and_place() {
    let Err(ChildError::Panicked { message, location }) =
        child::run(LIMIT, || panic!("the answer is {}", 42))
    else {
        unreachable!("the body panics")
    };
    assert_eq!(message, "the answer is 42");
    assert!(location.contains("child.rs:"), "{location}");
}

#[test]
fn a_panic_that_passes_the_hook_by_is_reported_too() {
    let ended = child::run(LIMIT, || std::panic::resume_unwind(Box::new("quiet")));
    let expected = ChildError::Panicked {
        message: "quiet".to_owned(),
        location: String::new(),
    };
    assert_eq!(ended, Err(expected));
}

#[test]
fn a_panic_that_tokio_would_swallow_is_reported() {
    let ended = child::run(LIMIT, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let tasks = tokio::task::LocalSet::new();
        runtime.block_on(tasks.run_until(async {
            drop(tokio::task::spawn_local(async { panic!("in a task") }));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }));
        b"went on".to_vec()
    });
    assert!(
        matches!(&ended, Err(ChildError::Panicked { message, .. }) if message == "in a task"),
        "{ended:?}"
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "starting a thread is the point")]
fn a_thread_ends_a_simulated_run_and_only_that() {
    let body = || vec![std::thread::spawn(|| 7).join().expect("it ran")];
    assert_eq!(child::run(LIMIT, body), Ok(vec![7]));
    let simulated = child::run(LIMIT, || {
        interpose::enter(1, Timestamp::from_secs(0));
        body()
    });
    assert_eq!(simulated, Err(ChildError::ThreadStarted));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "sleeping for real is the point")]
fn a_real_sleep_ends_a_simulated_run() {
    let ended = child::run(LIMIT, || {
        interpose::enter(1, Timestamp::from_secs(0));
        std::thread::sleep(Duration::from_millis(1));
        Vec::new()
    });
    assert_eq!(ended, Err(ChildError::Slept));
}

#[test]
fn hash_keys_are_the_seeds_whatever_the_caller_drew_before() {
    let keyed = || child::run(LIMIT, keyed_body);
    let fresh = keyed();
    assert!(fresh.is_ok());
    // Now this thread has keys of its own; a child that inherited them would hash by them.
    let _keys = RandomState::new();
    assert_eq!(keyed(), fresh);
    let mut pooled = Vec::new();
    pool(2, LIMIT).run([keyed_body, keyed_body], |_, result| {
        let _keys = RandomState::new();
        pooled.push(result);
        ControlFlow::Continue(())
    });
    assert_eq!(pooled, [fresh.clone(), fresh]);
}

fn keyed_body() -> Vec<u8> {
    interpose::enter(1, Timestamp::from_secs(0));
    RandomState::new().hash_one(7).to_le_bytes().to_vec()
}

#[test]
fn a_child_that_hangs_is_killed() {
    let limit = Duration::from_millis(50);
    let ended = child::run(limit, || hang());
    assert_eq!(ended, Err(ChildError::TimedOut(limit)));
}

#[test]
#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "leaving without a result is the point"
)]
fn other_ends_are_told_apart() {
    let aborted = child::run(LIMIT, || std::process::abort());
    assert_eq!(aborted, Err(ChildError::Signaled(6)));
    assert_eq!(
        child::run(LIMIT, || std::process::exit(3)),
        Err(ChildError::Exited(3))
    );
    assert_eq!(
        child::run(LIMIT, || std::process::exit(0)),
        Err(ChildError::Protocol)
    );
}

#[test]
fn a_pool_runs_all_and_delivers_each_once() {
    let bodies = (0..20u8).map(|i| move || vec![i; usize::from(i) * 10_000]);
    let mut seen = vec![0; 20];
    pool(4, LIMIT).run(bodies.clone(), |position, result| {
        let i = u8::try_from(position).expect("20 of them");
        assert_eq!(result, Ok(vec![i; position * 10_000]));
        seen[position] += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(seen, vec![1; 20]);
    let mut order = Vec::new();
    pool(4, LIMIT).run_in_order(bodies, |position, result| {
        assert!(result.is_ok());
        order.push(position);
        ControlFlow::Continue(())
    });
    assert_eq!(order, (0..20).collect::<Vec<_>>());
}

#[test]
fn a_pool_goes_on_after_a_failure_and_stops_when_told() {
    let bodies = (0..).map(|i: usize| {
        move || {
            assert_ne!(i, 2, "the third one fails");
            Vec::new()
        }
    });
    let mut failed = Vec::new();
    let mut delivered = 0;
    pool(3, LIMIT).run_in_order(bodies, |position, result| {
        delivered += 1;
        if result.is_err() {
            failed.push(position);
        }
        if position == 9 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((failed, delivered), (vec![2], 10));
}

#[test]
fn a_pool_kills_the_late_and_keeps_the_rest() {
    let limit = Duration::from_millis(300);
    let bodies = (0..4u8).map(|i| {
        move || {
            if i == 1 {
                hang();
            }
            vec![i]
        }
    });
    let mut results = Vec::new();
    pool(2, limit).run_in_order(bodies, |_, result| {
        results.push(result);
        ControlFlow::Continue(())
    });
    let expected = [
        Ok(vec![0]),
        Err(ChildError::TimedOut(limit)),
        Ok(vec![2]),
        Ok(vec![3]),
    ];
    assert_eq!(results, expected);
}

fn hang() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn pool(jobs: usize, limit: Duration) -> Pool {
    Pool::new(NonZeroUsize::new(jobs).expect("at least one"), limit)
}
