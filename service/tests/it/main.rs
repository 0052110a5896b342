//! Everything across modules: the store's contract on SQLite, and the service over real loopback sockets with a scripted provider.

mod api;
mod auditor;
mod conformance;
mod fixture;
mod stub;
mod worker;
