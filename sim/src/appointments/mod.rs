//! The appointment service as a system under test: what a scenario says of it, its workload, its hosts, its oracles.
//!
//! In reading order: the tables of a scenario ([`topology`], [`workload`], [`provider`], [`policy`], [`logs`], together [`Tables`]; [`planted`] is
//! the defect that one may name), what a
//! client does ([`operation`]), how a seed draws it, what is written into the trace ([`event`]), the deployment (pace, database, client, hosts, and
//! when they are quiet), what a finished trace says (history, metrics, tally), and how it is judged (oracles, measures, summary, effects).
//! [`shadow`] runs a replay's two sides on simulated hosts.
//!
//! **Invariant**: the service, the provider and the database engine run as they do in production; only the machine below them is simulated.
//! The harness knows nothing of this folder but [`crate::system::System`].

pub mod topology;
pub mod workload;
pub mod provider;
pub mod policy;
pub mod logs;
pub mod planted;
pub mod tables;
pub mod operation;
mod draw;
pub mod event;
mod pace;
pub mod database;
mod unheard;
mod client;
mod hosts;
mod leases;
mod look;
mod quiet;
mod history;
mod paths;
mod metrics;
mod tally;
mod oracles;
mod measures;
mod summary;
mod effects;
mod points;
mod moments;
mod simpler;
mod tell;
mod system;
pub mod shadow;

pub use event::Event;
pub use operation::Operation;
pub use system::Appointments;
pub use tables::Tables;
