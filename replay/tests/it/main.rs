//! Integration tests of the replay room, one binary.

mod bench;
mod captures;
mod captures_agreement;
mod captures_files;
mod captures_formats;
mod captures_fuzz;
mod captures_samples;
mod comparing;
mod decided;
mod divergences;
mod mask;
mod pairings;
mod mask_leaks;
mod parity;
mod reports;
mod rules;
mod runs;
mod sabotage;
mod sabotage_table;
mod server;
mod shipped_rules;
mod raw;
mod connections;
mod invented;
mod resumed;
