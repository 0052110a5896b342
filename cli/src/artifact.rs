//! Files that a command writes: whole or not at all.
//!
//! **Invariant**: a file appears under its name only when all of it is on the disk: it is written beside its place and renamed.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::problem::Problem;

/// A folder that a command writes to. Making one makes the folder, so that a wrong `--out` is found before any work is done.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// The folder `folder`, made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or is no folder.
    pub fn new(folder: &Path) -> Result<Self, Problem> {
        fs::create_dir_all(folder).map_err(|error| {
            Problem::usage(format!(
                "--out {}: cannot be a folder: {error}",
                folder.display()
            ))
        })?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes `name` in the folder and returns its path.
    ///
    /// # Errors
    /// When the disk does not take it; the file of this name is then what it was.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Problem> {
        let path = self.folder.join(name);
        write(&path, bytes)?;
        Ok(path)
    }
}

/// `name` as a part of a file's name: a scenario's name is free text, a file's is not.
pub fn plain(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}

/// Writes a whole file, replacing what has its name.
///
/// # Errors
/// When the disk does not take it; the file of this name is then what it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let beside = beside(path);
    place(&beside, path, bytes).map_err(|error| {
        // The half that was written is worth nothing; if it cannot be removed either, the first error says more.
        let _ = fs::remove_file(&beside);
        unwritable(path, &error)
    })
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    let message = format!("{}: cannot be written: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory => {
            Problem::usage(message)
        }
        _ => Problem::infrastructure(message),
    }
}

fn place(beside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(beside, path)
}

/// A file that is written piece by piece, beside its place, and takes its name when it is whole. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
}

impl Growing {
    /// A file that will be `path`.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(path: &Path) -> Result<Self, Problem> {
        let beside = beside(path);
        let made = if path.is_dir() {
            Err(io::ErrorKind::IsADirectory.into())
        } else {
            File::create(&beside)
        };
        let file = made.map_err(|error| unwritable(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            beside,
            file: BufWriter::with_capacity(1 << 20, file),
        })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When the disk does not take it; what had this name before is then still there.
    pub fn finish(mut self) -> Result<(), Problem> {
        let placed = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .and_then(|()| fs::rename(&self.beside, &self.path));
        placed.map_err(|error| unwritable(&self.path, &error))
    }
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // Once it has its name, there is nothing beside it.
        let _ = fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(&folder.path().join("a/b")).unwrap();
        artifacts.write("x.json", b"one").unwrap();
        let path = artifacts.write("x.json", b"two").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_leaves_no_half() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::new(folder.path()).unwrap();
        fs::create_dir(folder.path().join("taken")).unwrap();
        let problem = artifacts.write("taken", b"x").unwrap_err();
        assert_eq!(problem.exit, Exit::Usage, "{problem}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(
            Artifacts::new(&folder.path().join("file"))
                .unwrap_err()
                .exit,
            Exit::Usage
        );
    }
}
