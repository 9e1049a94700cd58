//! The only unsafe code: loads libchdb and runs its command line in this process. The library must
//! never be unloaded, and nothing else of it is called.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::error::ServerError;

/// `struct local_result_v2 *query_stable_v2(int argc, char **argv)` of `chdb.h`.
type QueryStableV2 = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;

/// The loaded library's entry.
pub(crate) struct Entry(QueryStableV2);

/// Loads the library into this process for good.
pub(crate) fn load(path: &Path) -> Result<Entry, ServerError> {
    // SAFETY: loading runs the library's initialisers. The caller has checked the CPU (AVX2), and the
    // path is what the user, or the fetch script that checks a checksum, gave us as ClickHouse.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| ServerError::Library { path: path.to_owned(), reason: error.to_string() })?;
    // SAFETY: the type is the one that chdb.h declares for this name.
    let entry = unsafe { library.get::<QueryStableV2>("query_stable_v2") }
        .map(|symbol| *symbol)
        .map_err(|_| ServerError::WrongLibrary { path: path.to_owned() })?;
    // Its threads outlive every call, so it stays, and with it the entry.
    std::mem::forget(library);
    Ok(Entry(entry))
}

impl Entry {
    /// Runs `clickhouse local` with these arguments (the first is the program's name) until its input
    /// ends or it fails. It reports failures on standard error only.
    pub(crate) fn run(&self, arguments: Vec<CString>) {
        // The library may write to the strings and keep pointers to them, so they are given away.
        let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
        let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
        pointers.push(std::ptr::null_mut());
        let pointers = pointers.leak();
        // SAFETY: `pointers` holds `count` NUL-terminated strings and a null pointer, all of which live
        // until the process ends; the function was loaded by `load` and is called once per process.
        // The result is a heap object of the library, which the end of the process frees.
        let _result = unsafe { (self.0)(count, pointers.as_mut_ptr()) };
    }
}

/// Ends the process at once, without the destructors of the library, whose threads may still run.
/// Everything that matters is on disk by then.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(c_int::from(code)) }
}
