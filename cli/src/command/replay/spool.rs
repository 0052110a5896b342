//! The spool of a replay: requests that have no room in memory, in a file without a name.
//!
//! **Invariant**: the file is gone with the process, however that ends: its name is taken away before anything is written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rehearsal_replay::{
    plan::Spill,
    run::{Archive, Place},
};

use crate::problem::Problem;

/// Its name, while it has one.
const SPOOL: &str = "replay.requests";

/// Requests are written in pieces of this size.
const BUFFER: usize = 256 << 10;

/// Where requests are written.
#[derive(Debug)]
pub(super) struct Spool {
    file: BufWriter<File>,
    end: u64,
    reread: Reread,
}

/// Where they are read again. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Reread(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: File,
    lost: Mutex<Option<String>>,
}

impl Spool {
    /// A spool in `folder`.
    ///
    /// # Errors
    /// When no file can be made there.
    pub(super) fn new(folder: &Path) -> Result<Self, Problem> {
        let path = folder.join(SPOOL);
        let mut fresh = OpenOptions::new();
        fresh.read(true).write(true).create(true).truncate(true);
        let made = fresh.open(&path).and_then(|file| {
            fs::remove_file(&path)?;
            Ok((file.try_clone()?, file))
        });
        let (file, again) = made.map_err(|error| {
            Problem::infrastructure(format!("{}: cannot be written: {error}", path.display()))
        })?;
        let reread = Reread(Arc::new(Shared {
            file: again,
            lost: Mutex::default(),
        }));
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER, file),
            end: 0,
            reread,
        })
    }

    /// Where what was spooled is read again.
    pub(super) fn reread(&self) -> Reread {
        self.reread.clone()
    }
}

impl Reread {
    /// Whether everything could be read again that was asked for.
    ///
    /// # Errors
    /// What could not.
    pub(super) fn whole(&self) -> Result<(), Problem> {
        let lost = self.0.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match &*lost {
            None => Ok(()),
            Some(told) => Err(Problem::infrastructure(format!("{SPOOL}: {told}"))),
        }
    }
}

impl Spill for Spool {
    fn put(&mut self, bytes: &[u8]) -> io::Result<Place> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let offset = self.end;
        self.file.write_all(bytes)?;
        self.end += u64::from(length);
        Ok(Place { offset, length })
    }

    fn archive(&mut self) -> io::Result<Arc<dyn Archive>> {
        self.file.flush()?;
        Ok(self.reread.0.clone())
    }
}

impl Archive for Shared {
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn lost(&self, told: &str) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert_with(|| told.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spooled_is_read_again_and_leaves_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::new(folder.path()).expect("a spool");
        let texts: Vec<Vec<u8>> = (0..200u8)
            .map(|at| vec![at; usize::from(at) * 50])
            .collect();
        let places: Vec<Place> = texts
            .iter()
            .map(|text| spool.put(text).expect("there is room"))
            .collect();
        let archive = spool.archive().expect("it can be read");
        for (text, place) in texts.iter().zip(&places) {
            let mut bytes = vec![0; place.length as usize];
            archive.read(place.offset, &mut bytes).expect("it is there");
            assert_eq!(&bytes, text);
        }
        let left = fs::read_dir(folder.path()).expect("the folder").count();
        assert_eq!(left, 0, "its name is gone at once");
        let reread = spool.reread();
        assert!(reread.whole().is_ok());
        archive.lost("the first");
        archive.lost("another");
        let problem = reread.whole().expect_err("something was lost");
        assert_eq!(problem.message, "replay.requests: the first");
    }
}
