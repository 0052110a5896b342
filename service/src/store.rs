//! The store: appointments, stored answers, outbox, transitions and findings behind one seam.
//!
//! **Invariant**: [`Store`] is the only way to the database, and `sqlite.rs` the only file that opens a writing transaction; what a
//! command does to a row is decided by the core, inside that transaction.
//! It deliberately has no clock and no randomness: time, worker and limits come with each request.

mod accept;
mod access;
mod claim;
mod enact;
mod findings;
mod inline;
mod inspect;
mod request;
mod row;
mod schema;
mod settle;
mod sqlite;
mod thread;

pub use access::StoreAccess;
pub use inline::InlineStore;
pub use request::{
    AcceptReply, AuditRow, Claimed, Claims, DeadLetter, Depth, Dump, FindingRow, Redriven, Reply,
    Request, Settled, Settlement, SightedFinding, Store, StoreError, TransitionRow, Verdict,
};
pub use sqlite::{Durability, SqliteStore};
pub use thread::ThreadStore;
