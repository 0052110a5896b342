//! `rehearsal record`: an hour of the legacy model's traffic, as a capture.
//!
//! **Invariant**: the same seed gives the same bytes; the shipped sample is made by it.

use std::{io, time::Duration};

use rehearsal_replay::capture::{Manifest, Writer};
use rehearsal_sim::{appointments::shadow::record as shadow, child, run, system::Storage};

use crate::{artifact, exit::Exit, flags::replay::RecordFlags, printer::Printer, problem::Problem};

/// A recording may take this long in real time.
const LIMIT: Duration = Duration::from_mins(10);

/// Records the capture.
///
/// # Errors
/// When the recording does not come to its end, or the file cannot be written.
pub(super) fn record(flags: &RecordFlags, printer: Printer) -> Result<Exit, Problem> {
    let gzip = flags
        .out
        .extension()
        .is_some_and(|extension| extension == "gz");
    let recording = || child::run(LIMIT, || body(flags.seed, gzip));
    let bytes = recording()
        .map_err(|error| Problem::infrastructure(format!("the recording ended early: {error}")))?;
    artifact::write(&flags.out, &bytes)?;
    printer.talk(&format!(
        "  capture   {} ({} bytes)",
        flags.out.display(),
        bytes.len()
    ));
    Ok(Exit::Pass)
}

fn body(seed: u64, gzip: bool) -> Vec<u8> {
    let storage = Storage::Simulated(run::enter(seed));
    let exchanges = shadow::record(seed, &storage).unwrap_or_else(|error| panic!("{error}"));
    let made_by = format!("rehearsal record --seed {seed}");
    let manifest = Manifest::new(Some(made_by), Some(exchanges.len() as u64));
    let write = || -> io::Result<Vec<u8>> {
        let mut writer = if gzip {
            Writer::gzip(Vec::new(), &manifest)?
        } else {
            Writer::plain(Vec::new(), &manifest)?
        };
        for exchange in &exchanges {
            writer.write(exchange)?;
        }
        writer.finish()
    };
    write().expect("memory takes everything")
}
