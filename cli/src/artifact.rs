//! Files that a command writes: whole or not at all.
//!
//! **Invariant**: a file appears under its name only when all of it is on the disk: it is written beside its place and renamed. What is no
//! file stays what it is: a link leads where it led, and a pipe or a device is written to as it is, since nothing can take its place.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::problem::Problem;

/// Links are followed so far, as the system does; what is beyond leads nowhere.
const LINKS: usize = 40;

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
    let mut growing = Growing::create(path)?;
    growing
        .write_all(bytes)
        .map_err(|error| unwritable(path, &error))?;
    growing.finish()
}

/// Where a link leads, to what is not there yet perhaps; any other path itself.
fn led(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(next) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
    path
}

/// Whether a pipe or a device is there.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
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

/// A file that is written piece by piece, beside its place, and takes its name when it is whole. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    /// Where it is until then; nowhere if it is a pipe or a device.
    beside: Option<PathBuf>,
    file: BufWriter<File>,
}

impl Growing {
    /// A file that will be `path`, or what the link there leads to.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(path: &Path) -> Result<Self, Problem> {
        let place = led(path);
        let beside = (!is_special(&place)).then(|| beside(&place));
        let made = match &beside {
            _ if place.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Some(beside) => File::create(beside),
            None => OpenOptions::new().write(true).open(&place),
        };
        let file = made.map_err(|error| unwritable(path, &error))?;
        Ok(Self {
            path: place,
            beside,
            file: BufWriter::with_capacity(1 << 20, file),
        })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// When the disk does not take it; what had this name before is then still there.
    pub fn finish(mut self) -> Result<(), Problem> {
        let placed = self.file.flush().and_then(|()| match &self.beside {
            Some(beside) => {
                self.file.get_ref().sync_all()?;
                fs::rename(beside, &self.path)
            }
            None => Ok(()),
        });
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
        // Once it has its name, there is nothing beside it. If a half cannot be removed, what went wrong before says more.
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
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

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_pipe_a_pipe() {
        use std::{os::unix::fs::symlink, process::Command};

        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("far")).unwrap();
        fs::write(path("far/file"), "old").unwrap();
        symlink("far/file", path("link")).unwrap();
        symlink("link", path("again")).unwrap();
        symlink("far/new", path("dangling")).unwrap();
        write(&path("again"), b"one").unwrap();
        write(&path("dangling"), b"two").unwrap();
        for link in ["link", "again", "dangling"] {
            assert!(path(link).is_symlink(), "{link}");
        }
        assert_eq!(fs::read(path("far/file")).unwrap(), b"one");
        assert_eq!(fs::read(path("far/new")).unwrap(), b"two");
        assert_eq!(fs::read_dir(path("far")).unwrap().count(), 2);

        let run = |program: &str, arguments: &[&Path]| {
            Command::new(program).args(arguments).spawn().unwrap()
        };
        assert!(run("mkfifo", &[&path("pipe")]).wait().unwrap().success());
        symlink("pipe", path("to-pipe")).unwrap();
        let mut reader = run("cp", &[&path("to-pipe"), &path("through")]);
        write(&path("to-pipe"), b"three").unwrap();
        assert!(reader.wait().unwrap().success());
        assert_eq!(fs::read(path("through")).unwrap(), b"three");
        assert!(is_special(&path("pipe")) && path("to-pipe").is_symlink());
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
