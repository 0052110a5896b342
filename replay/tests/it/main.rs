//! Integration tests of the replay room, one binary.

mod captures;
