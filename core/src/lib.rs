//! The appointment domain: decisions as plain functions between plain values.
//!
//! The one invariant: everything here is a pure function of its arguments. Time, identity and jitter come in,
//! events, outbox entries and log lines go out. The crate is `no_std` with `alloc`, so the compiler itself refuses
//! a clock, a socket or a thread.
//!
//! It deliberately does not store, send, wait, log or draw random numbers: that is the service's work.
//!
//! In reading order: what an appointment is and how it changes ([`appointment`]), what comes in ([`command`],
//! [`validation`], [`idempotency`]), what goes out ([`event`], [`rejection`]), how the provider is called
//! ([`outbox`], [`delivery`], [`backoff`], [`breaker`], [`bulkhead`], [`routing`]), how the two sides are compared
//! ([`reconcile`], [`invariant`]), and how it is all reported ([`slo`], [`mask`], [`log`]).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod time;

pub mod identity;

pub mod appointment;

pub mod command;

pub mod event;

pub mod rejection;

pub mod validation;

pub mod idempotency;

pub mod outbox;

mod limits;

pub mod delivery;

mod retry_after;

pub mod backoff;

pub mod breaker;

pub mod bulkhead;

pub mod routing;

pub mod reconcile;

pub mod invariant;

pub mod slo;

pub mod mask;

pub mod log;
