//! The whole command line, as a user meets it, and the shape of the tree it is built from.

mod binary;
mod finding;
mod help;
mod import;
mod judging;
mod bad_input;
mod session;
mod explore;
mod replay;
mod enumerate;
mod parity;
mod real;
mod replay_live;
mod tidy;
mod verify;
