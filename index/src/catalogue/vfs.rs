//! How does SQLite write through a recording disk?
//!
//! A VFS that hands every call on to SQLite's own and notes what changes files.
//! SQLite's own synchronises the folder together with the first synchronisation
//! of a log or a journal that may be new; this one notes that as it is done. Shared memory is no file to it: after a crash SQLite
//! makes it anew. Mapped reading is left out, as SQLite has it off by default.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::ffi;

use super::path_from_bytes;
use crate::disk::How;
use crate::disk::recording::{FileNo, Log};

/// A registered VFS; unregistered when dropped, which is after all connections.
#[derive(Debug)]
pub(crate) struct Vfs {
    raw: Box<ffi::sqlite3_vfs>,
    name: CString,
    own: *mut Own,
}

/// What the VFS itself knows.
struct Own {
    real: *mut ffi::sqlite3_vfs,
    log: Arc<Log>,
}

// SAFETY: SQLite uses a VFS from any thread; what is behind the pointers is either
// SQLite's own, made for that, or a log behind a mutex.
unsafe impl Send for Vfs {}
// SAFETY: as above.
unsafe impl Sync for Vfs {}

/// An open file: SQLite's own lies behind it in the same memory.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    noted: *mut Noted,
}

/// What is noted of an open file; `None` for one without a name.
struct Noted {
    log: Arc<Log>,
    file: Option<FileNo>,
    /// The folder to synchronise with the first synchronisation.
    folder: Option<PathBuf>,
}

impl Vfs {
    pub(crate) fn register(log: &Arc<Log>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("recording-{n}")).expect("no zero in it");
        // SAFETY: the default VFS exists as long as the process; a copy of it with other
        // entries is a VFS, whose functions do not look at what was changed.
        unsafe {
            let real = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!real.is_null(), "SQLite has a VFS");
            let own = Box::into_raw(Box::new(Own { real, log: Arc::clone(log) }));
            let mut raw = Box::new(std::ptr::read(real));
            raw.pNext = std::ptr::null_mut();
            raw.szOsFile = size_of::<File>() as c_int + (*real).szOsFile;
            raw.zName = name.as_ptr();
            raw.pAppData = own.cast();
            raw.xOpen = Some(open);
            raw.xDelete = Some(delete);
            let code = ffi::sqlite3_vfs_register(&raw mut *raw, 0);
            assert_eq!(code, ffi::SQLITE_OK);
            Self { raw, name, own }
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.name.to_str().expect("is text")
    }
}

impl Drop for Vfs {
    fn drop(&mut self) {
        // SAFETY: it was registered, and nobody uses it any more.
        unsafe {
            ffi::sqlite3_vfs_unregister(&raw mut *self.raw);
            drop(Box::from_raw(self.own));
        }
    }
}

fn path_of(name: &CStr) -> PathBuf {
    path_from_bytes(name.to_bytes().to_vec())
}

/// SQLite's code for what went wrong.
fn code(result: io::Result<()>, otherwise: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(e) if e.raw_os_error() == Some(28) => ffi::SQLITE_FULL,
        Err(_) => otherwise,
    }
}

/// A call of SQLite's own as a result that the log understands.
fn real(code: c_int) -> io::Result<()> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(io::Error::other(format!("SQLite: {code}"))) }
}

/// # Safety
/// As SQLite calls it: `name` is null or a path, `file` is memory of the size asked for.
unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: `vfs` is one of ours, alive as long as its connections.
    let own = unsafe { &*(*vfs).pAppData.cast::<Own>() };
    let this = file.cast::<File>();
    // SAFETY: the memory is large enough for both; without methods a file is not open.
    let (inner, real_open) = unsafe {
        (*this).base.pMethods = std::ptr::null();
        (inner(file), (*own.real).xOpen.expect("every VFS opens"))
    };
    // SAFETY: SQLite's own arguments, and memory behind our part of it.
    let call = || unsafe { real_open(own.real, name, inner, flags, out) };
    let mut noted = Noted { log: Arc::clone(&own.log), file: None, folder: None };
    let done = if name.is_null() {
        call()
    } else {
        // SAFETY: SQLite gives a path that ends in zero.
        let path = path_of(unsafe { CStr::from_ptr(name) });
        let makes = flags & ffi::SQLITE_OPEN_CREATE != 0 && !path.exists();
        let how = if makes { How::Create } else { How::Read };
        let mut result = ffi::SQLITE_OK;
        let opened = own.log.open(&path, how, || {
            result = call();
            real(result)
        });
        match opened {
            Ok((number, ())) => {
                noted.file = Some(number);
                let logs = ffi::SQLITE_OPEN_WAL
                    | ffi::SQLITE_OPEN_MAIN_JOURNAL
                    | ffi::SQLITE_OPEN_SUPER_JOURNAL;
                if flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & logs != 0 {
                    noted.folder = path.parent().map(Path::to_path_buf);
                }
                ffi::SQLITE_OK
            }
            Err(_) if result != ffi::SQLITE_OK => result,
            Err(e) => code(Err(e), ffi::SQLITE_CANTOPEN),
        }
    };
    if done == ffi::SQLITE_OK {
        // SAFETY: as above.
        unsafe {
            (*this).noted = Box::into_raw(Box::new(noted));
            (*this).base.pMethods = &raw const METHODS;
        }
    }
    done
}

/// # Safety
/// As SQLite calls it.
unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: as in `open`.
    let (own, path) = unsafe { (&*(*vfs).pAppData.cast::<Own>(), path_of(CStr::from_ptr(name))) };
    let mut result = ffi::SQLITE_OK;
    let removed = own.log.remove(&path, || {
        // SAFETY: SQLite's own arguments.
        result = unsafe { (*own.real).xDelete.expect("every VFS deletes")(own.real, name, sync) };
        real(result)
    });
    match (removed, path.parent()) {
        (Ok(()), Some(dir)) if sync != 0 => {
            code(own.log.sync_dir(dir, || Ok(())), ffi::SQLITE_IOERR_DIR_FSYNC)
        }
        (Ok(()), _) => ffi::SQLITE_OK,
        (Err(_), _) if result != ffi::SQLITE_OK => result,
        (Err(e), _) => code(Err(e), ffi::SQLITE_IOERR_DELETE),
    }
}

/// # Safety
/// `file` is of this VFS.
unsafe fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: `szOsFile` covers both.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

/// # Safety
/// `file` is open and of this VFS.
unsafe fn noted<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Noted {
    // SAFETY: set when it was opened; SQLite uses a file from one thread at a time.
    unsafe { &mut *(*file.cast::<File>()).noted }
}

/// Methods that hand on all their arguments.
macro_rules! handed_on {
    ($($name:ident = $method:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {$(
        /// # Safety
        /// As SQLite calls it.
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($arg: $type),*) -> $out {
            // SAFETY: the file behind ours is open, and these are its own arguments.
            unsafe {
                let inner = inner(file);
                (*(*inner).pMethods).$method.expect("the method is there")(inner, $($arg),*)
            }
        }
    )*};
}

handed_on! {
    read = xRead(to: *mut c_void, len: c_int, at: i64) -> c_int;
    file_size = xFileSize(size: *mut i64) -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved = xCheckReservedLock(out: *mut c_int) -> c_int;
    control = xFileControl(op: c_int, arg: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    characteristics = xDeviceCharacteristics() -> c_int;
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier() -> ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
    real_close = xClose() -> c_int;
    real_write = xWrite(from: *const c_void, len: c_int, at: i64) -> c_int;
    real_truncate = xTruncate(len: i64) -> c_int;
    real_sync = xSync(flags: c_int) -> c_int;
}

/// # Safety
/// As SQLite calls it.
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the file is open, and not used after this.
    unsafe {
        let result = real_close(file);
        drop(Box::from_raw((*file.cast::<File>()).noted));
        (*file).pMethods = std::ptr::null();
        result
    }
}

/// # Safety
/// As SQLite calls it.
unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    len: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite's own arguments.
    let (noted, bytes) =
        unsafe { (noted(file), std::slice::from_raw_parts(from.cast::<u8>(), len as usize)) };
    let put = |bytes: &[u8]| {
        // SAFETY: a part of SQLite's own arguments.
        real(unsafe { real_write(file, bytes.as_ptr().cast(), bytes.len() as c_int, at) })
    };
    let done = match noted.file {
        Some(number) => noted.log.write(number, at as u64, bytes, put),
        None => put(bytes),
    };
    code(done, ffi::SQLITE_IOERR_WRITE)
}

/// # Safety
/// As SQLite calls it.
unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: i64) -> c_int {
    // SAFETY: the file is open.
    let noted = unsafe { noted(file) };
    // SAFETY: SQLite's own arguments.
    let cut = || real(unsafe { real_truncate(file, len) });
    let done = match noted.file {
        Some(number) => noted.log.set_len(number, len as u64, cut),
        None => cut(),
    };
    code(done, ffi::SQLITE_IOERR_TRUNCATE)
}

/// # Safety
/// As SQLite calls it.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: the file is open.
    let noted = unsafe { noted(file) };
    // SAFETY: SQLite's own arguments.
    let flush = || real(unsafe { real_sync(file, flags) });
    let Some(number) = noted.file else { return code(flush(), ffi::SQLITE_IOERR_FSYNC) };
    let done = noted.log.sync(number, flush);
    if let (Ok(()), Some(dir)) = (&done, noted.folder.take()) {
        // SQLite goes on if this fails, and does not try it again.
        let _ = noted.log.sync_dir(&dir, || Ok(()));
    }
    code(done, ffi::SQLITE_IOERR_FSYNC)
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
