//! The simulator's integration tests. Each simulated run is a forked child, as in production.

mod appointments;
mod child;
mod determinism;
mod disk;
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
