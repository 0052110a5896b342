//! The simulator's integration tests. Each simulated run is a forked child, as in production.

/// As the binary has it: what is tested is what runs.
#[global_allocator]
static ALLOCATOR: rehearsal_sim::interpose::Heap = rehearsal_sim::interpose::Heap;

/// One test for each of the six acceptance scenarios.
macro_rules! each_scenario {
    ($check:path) => {
        each_scenario!($check: happy_path provider_timeout flaky_provider persistent_failure idempotency circuit_breaker);
    };
    ($check:path: $($scenario:ident)*) => {
        $(#[test]
        fn $scenario() {
            $check(stringify!($scenario));
        })*
    };
}

mod appointments;
mod child;
mod configured;
mod defects;
mod determinism;
mod disk;
mod effects;
mod enumerate;
mod fsync;
mod fidelities;
mod interpose;
mod provider_faults;
mod regressions;
mod second_system;
mod points;
mod shadow;
mod shrink;
mod sockets;
mod leaky_system;
mod verify;
mod why;
