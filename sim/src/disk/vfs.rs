//! SQLite's view of the disk: a VFS of C functions, each of which checks its arguments, calls one safe function and returns one code.
//!
//! **Invariant**: nothing here decides; a panic below ends the process (it cannot unwind into C). Once registered, the VFS is the process's
//! default for good, so only a forked child registers it.
//!
//! There is no memory mapping (version 2 methods) and no loading of extensions.
#![expect(unsafe_code, reason = "SQLite's VFS interface is C")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use libsqlite3_sys as sqlite;
use sqlite::{sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use super::{
    Disk,
    handle::{Handle, IndexLock},
    lock::{Level, SLOTS},
};
use crate::interpose;

/// The longest path, with its terminating NUL.
const PATH_LIMIT: c_int = 512;
/// What production's file systems answer: the unit of their writes, and that an interrupted write leaves its neighbors alone.
const SECTOR: c_int = 4096;
/// Milliseconds from the start of the Julian calendar to the Unix epoch.
const JULIAN_EPOCH_MS: i64 = 210_866_760_000_000;

/// Makes `disk` this process's default SQLite VFS, and seeds SQLite's own random numbers from it. Before the first connection.
///
/// # Panics
/// When the process has registered a disk before, or SQLite refuses.
pub fn register(disk: &Disk) {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    assert!(
        !REGISTERED.swap(true, Ordering::Relaxed),
        "a process registers one disk"
    );
    let vfs = Box::leak(Box::new(sqlite3_vfs {
        iVersion: 2,
        szOsFile: c_int::try_from(size_of::<OpenFile>()).expect("a few words"),
        mxPathname: PATH_LIMIT,
        pNext: ptr::null_mut(),
        zName: c"rehearsal".as_ptr(),
        pAppData: Box::into_raw(Box::new(disk.clone())).cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_path_name),
        xDlOpen: Some(no_library),
        xDlError: Some(no_library_error),
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: Some(current_time_ms),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: the VFS and its disk are leaked, so they live as long as SQLite; a null buffer only resets SQLite's generator.
    let code = unsafe {
        let code = sqlite::sqlite3_vfs_register(vfs, 1);
        sqlite::sqlite3_randomness(0, ptr::null_mut());
        code
    };
    assert_eq!(code, sqlite::SQLITE_OK, "SQLite takes the VFS");
}

/// SQLite's file, and behind it ours.
#[repr(C)]
struct OpenFile {
    base: sqlite3_file,
    handle: *mut Handle,
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The disk that a VFS was registered with.
///
/// # Safety
/// `vfs` is the one that [`register`] made.
unsafe fn disk<'a>(vfs: *mut sqlite3_vfs) -> &'a Disk {
    // SAFETY: by contract; the disk is leaked.
    unsafe { &*(*vfs).pAppData.cast::<Disk>() }
}

/// The handle behind a file.
///
/// # Safety
/// `file` was opened by [`open`], is not closed, and nobody else uses it now: SQLite serializes the calls on one file.
unsafe fn handle<'a>(file: *mut sqlite3_file) -> &'a mut Handle {
    // SAFETY: by contract; the handle is boxed until `close`.
    unsafe { &mut *(*file.cast::<OpenFile>()).handle }
}

/// Splits `/<host>/<file>`.
///
/// # Safety
/// `name` is a NUL-terminated string that outlives the result.
unsafe fn split<'a>(name: *const c_char) -> Option<(&'a str, &'a str)> {
    // SAFETY: by contract.
    let name = unsafe { CStr::from_ptr(name) }.to_str().ok()?;
    let (host, file) = name.strip_prefix('/')?.split_once('/')?;
    (!host.is_empty() && !file.is_empty()).then_some((host, file))
}

fn code(result: Result<(), c_int>) -> c_int {
    result.err().unwrap_or(sqlite::SQLITE_OK)
}

/// SQLite's lengths, offsets and region numbers are never negative.
fn unsigned(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(usize::MAX)
}

fn level(sqlite_level: c_int) -> Option<Level> {
    match sqlite_level {
        sqlite::SQLITE_LOCK_SHARED => Some(Level::Shared),
        sqlite::SQLITE_LOCK_RESERVED => Some(Level::Reserved),
        sqlite::SQLITE_LOCK_PENDING => Some(Level::Pending),
        sqlite::SQLITE_LOCK_EXCLUSIVE => Some(Level::Exclusive),
        _ => None,
    }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: sqlite::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let asked = |flag: c_int| flags & flag != 0;
    let opened = if name.is_null() {
        Handle::temporary()
    } else {
        // SAFETY: SQLite's contract for xOpen: our VFS, a NUL-terminated name that lives while the file is open.
        let (disk, path) = unsafe { (disk(vfs), split(name)) };
        path.ok_or(sqlite::SQLITE_CANTOPEN)
            .and_then(|(host, file)| {
                Handle::open(
                    disk.volume(host),
                    file,
                    asked(sqlite::SQLITE_OPEN_CREATE),
                    asked(sqlite::SQLITE_OPEN_EXCLUSIVE),
                    asked(sqlite::SQLITE_OPEN_DELETEONCLOSE),
                )
            })
    };
    // SAFETY: SQLite gives szOsFile bytes for the file; without methods it will not be closed. `out_flags` is null or valid for a write.
    unsafe {
        (*file).pMethods = ptr::null();
        match opened {
            Err(code) => code,
            Ok(handle) => {
                file.cast::<OpenFile>().write(OpenFile {
                    base: sqlite3_file {
                        pMethods: &raw const METHODS,
                    },
                    handle: Box::into_raw(Box::new(handle)),
                });
                if !out_flags.is_null() {
                    out_flags.write(flags);
                }
                sqlite::SQLITE_OK
            }
        }
    }
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite's contract for xDelete.
    let (disk, path) = unsafe { (disk(vfs), split(name)) };
    let Some((host, file)) = path else {
        return sqlite::SQLITE_IOERR_DELETE_NOENT;
    };
    code(super::handle::locked(&disk.volume(host)).delete(file, sync != 0))
}

unsafe extern "C" fn access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's contract for xAccess.
    let (disk, path) = unsafe { (disk(vfs), split(name)) };
    let size = match path {
        Some((host, file)) => super::handle::locked(&disk.volume(host)).size(file),
        None => Ok(None),
    };
    match size {
        Err(code) => code,
        Ok(size) => {
            // As SQLite's own VFS has it: an empty file does not exist, but may be opened.
            let there = size.is_some_and(|size| size > 0 || flags != sqlite::SQLITE_ACCESS_EXISTS);
            // SAFETY: `out` is valid for a write.
            unsafe { out.write(c_int::from(there)) };
            sqlite::SQLITE_OK
        }
    }
}

unsafe extern "C" fn full_path_name(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite's contract for xFullPathname: a NUL-terminated name, and `room` bytes at `out`.
    unsafe {
        let length = CStr::from_ptr(name).count_bytes();
        if split(name).is_none() || length >= unsigned(room) {
            return sqlite::SQLITE_CANTOPEN;
        }
        ptr::copy_nonoverlapping(name, out, length + 1);
    }
    sqlite::SQLITE_OK
}

unsafe extern "C" fn no_library(_: *mut sqlite3_vfs, _: *const c_char) -> *mut c_void {
    ptr::null_mut()
}

unsafe extern "C" fn no_library_error(_: *mut sqlite3_vfs, room: c_int, out: *mut c_char) {
    if room > 0 {
        // SAFETY: SQLite's contract for xDlError: `room` bytes at `out`.
        unsafe { out.write(0) };
    }
}

unsafe extern "C" fn randomness(vfs: *mut sqlite3_vfs, length: c_int, out: *mut c_char) -> c_int {
    let length_in_bytes = unsigned(length);
    // SAFETY: SQLite's contract for xRandomness: our VFS, and `length` bytes at `out`, zeroed before a reference to them exists.
    unsafe {
        out.write_bytes(0, length_in_bytes);
        disk(vfs).fill_entropy(std::slice::from_raw_parts_mut(out.cast(), length_in_bytes));
    }
    length
}

unsafe extern "C" fn sleep(vfs: *mut sqlite3_vfs, micros: c_int) -> c_int {
    // SAFETY: our VFS.
    unsafe { disk(vfs) }.slept();
    micros
}

unsafe extern "C" fn current_time_ms(_: *mut sqlite3_vfs, out: *mut sqlite3_int64) -> c_int {
    let ms = interpose::wall_nanos().div_euclid(1_000_000) + JULIAN_EPOCH_MS;
    // SAFETY: SQLite's contract for xCurrentTimeInt64: `out` is valid for a write.
    unsafe { out.write(ms) };
    sqlite::SQLITE_OK
}

unsafe extern "C" fn current_time(vfs: *mut sqlite3_vfs, out: *mut f64) -> c_int {
    let mut ms = 0;
    // SAFETY: SQLite's contract for xCurrentTime: `out` is valid for a write.
    unsafe {
        current_time_ms(vfs, &raw mut ms);
        out.write(ms as f64 / 86_400_000.0);
    }
    sqlite::SQLITE_OK
}

unsafe extern "C" fn last_error(_: *mut sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    0
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let file = file.cast::<OpenFile>();
    // SAFETY: SQLite closes an open file once; its handle came from a box.
    let handle = unsafe {
        (*file).base.pMethods = ptr::null();
        Box::from_raw((*file).handle)
    };
    handle.close();
    sqlite::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    out: *mut c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's contract for xRead: an open file, and `length` bytes at `out`, which SQLite allocated and we only fill.
    let (handle, out) = unsafe {
        let out = std::slice::from_raw_parts_mut(out.cast(), unsigned(length));
        (handle(file), out)
    };
    match handle.read(unsigned(offset), out) {
        Ok(false) => sqlite::SQLITE_OK,
        Ok(true) => sqlite::SQLITE_IOERR_SHORT_READ,
        Err(code) => code,
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite's contract for xWrite: an open file, and `length` bytes at `data`.
    let (handle, data) = unsafe {
        let data = std::slice::from_raw_parts(data.cast(), unsigned(length));
        (handle(file), data)
    };
    code(handle.write(unsigned(offset), data))
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: an open file.
    code(unsafe { handle(file) }.resize(unsigned(size)))
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    code(unsafe { handle(file) }.sync())
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut sqlite3_int64) -> c_int {
    // SAFETY: an open file; `out` is valid for a write.
    unsafe {
        match handle(file).size() {
            Err(code) => code,
            Ok(size) => {
                out.write(size.cast_signed() as sqlite3_int64);
                sqlite::SQLITE_OK
            }
        }
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, wanted: c_int) -> c_int {
    match level(wanted) {
        // SAFETY: an open file.
        Some(wanted) => code(unsafe { handle(file) }.lock(wanted)),
        None => sqlite::SQLITE_OK,
    }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, to: c_int) -> c_int {
    // SAFETY: an open file.
    code(unsafe { handle(file) }.unlock(level(to)))
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file; `out` is valid for a write.
    unsafe {
        match handle(file).is_reserved() {
            Err(code) => code,
            Ok(reserved) => {
                out.write(c_int::from(reserved));
                sqlite::SQLITE_OK
            }
        }
    }
}

unsafe extern "C" fn file_control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    sqlite::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    SECTOR
}

unsafe extern "C" fn device_characteristics(_: *mut sqlite3_file) -> c_int {
    sqlite::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: an open file; `out` is valid for a write.
    unsafe {
        out.write(ptr::null_mut());
        match handle(file).map(unsigned(region), unsigned(size), extend != 0) {
            Err(code) => code,
            Ok(region) => {
                out.write(region);
                sqlite::SQLITE_OK
            }
        }
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let slots = unsigned(offset)..(unsigned(offset) + unsigned(count)).min(SLOTS);
    let lock = if flags & sqlite::SQLITE_SHM_UNLOCK != 0 {
        IndexLock::Release
    } else if flags & sqlite::SQLITE_SHM_SHARED != 0 {
        IndexLock::Share
    } else {
        IndexLock::Exclude
    };
    // SAFETY: an open file.
    code(unsafe { handle(file) }.lock_index(slots, lock))
}

unsafe extern "C" fn shm_barrier(_: *mut sqlite3_file) {
    std::sync::atomic::fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, _: c_int) -> c_int {
    // SAFETY: an open file.
    unsafe { handle(file) }.unmap();
    sqlite::SQLITE_OK
}
