//! The last error of each thread.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::codes::{self, MAPVAR_OK, MAPVAR_PANICKED};
use mapvar::{Error, ErrorKind, Result, Uncancelled};
use std::{
    any::Any,
    cell::{OnceCell, RefCell},
    ffi::{CStr, CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Stands for the operation in this crate's own errors until `run_call` replaces it with the
/// function's name.
const BORDER: &str = "call";

#[derive(Default)]
struct Last {
    code: i32,
    error: Option<Error>,
    /// Texts are created on request: most callers need only the code.
    message: OnceCell<CString>,
    operation: OnceCell<CString>,
    object: OnceCell<CString>,
    program: OnceCell<CString>,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

/// Runs a call and returns its code; keeps the error for this thread.
#[inline]
pub(crate) fn run_call(function: &'static str, call: impl FnOnce() -> Result<()>) -> i32 {
    let _uncancelled = Uncancelled::begin();
    // State that outlives a panic is behind atomics, or behind locks whose poisoning is ignored;
    // each is consistent between its steps.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => MAPVAR_OK,
        Ok(Err(error)) => failed(function, error),
        Err(panic) => panicked(function, panic),
    }
}

#[cold]
fn failed(function: &'static str, error: Error) -> i32 {
    let code = codes::of(error.kind());
    let error = if error.operation() == BORDER {
        let object = error.object().to_owned();
        error.during(function, object)
    } else {
        error
    };
    keep(code, error);
    code
}

#[cold]
fn panicked(function: &'static str, panic: Box<dyn Any + Send>) -> i32 {
    let said = panic.downcast_ref::<&str>().map(ToString::to_string);
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    // Leaks the payload: its destructor can panic again.
    std::mem::forget(panic);
    let error = Error::new(ErrorKind::Io, function, "")
        .detail(format!("a fault of the library itself, please report it: {said}"));
    keep(MAPVAR_PANICKED, error);
    MAPVAR_PANICKED
}

fn keep(code: i32, error: Error) {
    // While a thread ends, its thread-local is gone and the error is not kept; the caller still
    // gets the code.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = Last { code, error: Some(error), ..Last::default() };
        }
    });
}

/// The error for an invalid argument of a call.
#[cold]
pub(crate) fn refused(kind: ErrorKind, argument: &str, detail: impl Into<String>) -> Error {
    Error::new(kind, BORDER, argument).detail(detail)
}

/// Converts to a C string. A NUL within, which only a path could have, becomes a space.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// Returns a text of the last error, or an empty one; it lives until the next error of the thread.
fn text(of: impl Fn(&Last) -> Option<&CStr>) -> *const c_char {
    LAST.try_with(|last| {
        let Ok(last) = last.try_borrow() else { return c"".as_ptr() };
        of(&last).map_or(c"".as_ptr(), CStr::as_ptr)
    })
    .unwrap_or(c"".as_ptr())
}

/// Returns the code of this thread's last failed call; 0 if none has failed. A successful call does
/// not reset it, so check the call's own result first.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_last_error() -> i32 {
    LAST.try_with(|last| last.try_borrow().map_or(0, |last| last.code)).unwrap_or(0)
}

/// Returns the message for people: operation, object, condition and remedy. UTF-8, ends with a NUL,
/// never NULL. Like the other texts of the last error it belongs to the library, and lives until
/// this thread's next failed call, or the thread's end.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_last_error_message() -> *const c_char {
    text(|last| {
        let error = last.error.as_ref()?;
        Some(last.message.get_or_init(|| c_text(&error.to_string())))
    })
}

/// Returns the operation that failed, such as "set variable"; the name of the function if an
/// argument was refused.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_last_error_operation() -> *const c_char {
    text(|last| {
        let error = last.error.as_ref()?;
        Some(last.operation.get_or_init(|| c_text(error.operation())))
    })
}

/// Returns the object of the operation, such as `"foo" of map "alpha"`; the argument if one was
/// refused.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_last_error_object() -> *const c_char {
    text(|last| {
        let error = last.error.as_ref()?;
        Some(last.object.get_or_init(|| c_text(error.object())))
    })
}

/// Returns the process that the call waited for, after MAPVAR_TIMED_OUT and if the system reports
/// it; else 0.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_last_error_holder() -> u32 {
    let holder = |last: &Last| Some(last.error.as_ref()?.holder()?.pid);
    LAST.try_with(|last| last.try_borrow().ok().and_then(|last| holder(&last)).unwrap_or(0))
        .unwrap_or(0)
}

/// Returns the program name of the process of mapvar_last_error_holder, if the system reports it;
/// else an empty text.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_last_error_holder_program() -> *const c_char {
    text(|last| {
        let program = last.error.as_ref()?.holder()?.program.as_ref()?;
        Some(last.program.get_or_init(|| c_text(program)))
    })
}

/// Returns the operating system's number of the error (errno, GetLastError), if there is one; else
/// 0.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_last_error_os_code() -> i32 {
    let code = |last: &Last| last.error.as_ref()?.raw_os_error();
    LAST.try_with(|last| last.try_borrow().ok().and_then(|last| code(&last)).unwrap_or(0))
        .unwrap_or(0)
}

/// Returns the name of a code, such as "NotFound"; "Ok" for 0, "Panicked" for MAPVAR_PANICKED,
/// "Unknown" for other numbers. A constant, ends with a NUL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_error_name(code: i32) -> *const c_char {
    NAMES.iter().find(|(number, _)| *number == code).map_or(c"Unknown", |(_, name)| name).as_ptr()
}

/// Returns the library's version, "0.1.0". A constant, ends with a NUL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_library_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

pub(crate) const NAMES: &[(i32, &CStr)] = &[
    (MAPVAR_OK, c"Ok"),
    (codes::MAPVAR_NOT_FOUND, c"NotFound"),
    (codes::MAPVAR_ALREADY_EXISTS, c"AlreadyExists"),
    (codes::MAPVAR_WRONG_KIND, c"WrongKind"),
    (codes::MAPVAR_OUT_OF_RANGE, c"OutOfRange"),
    (codes::MAPVAR_FULL, c"Full"),
    (codes::MAPVAR_NO_SPACE, c"NoSpace"),
    (codes::MAPVAR_TOO_LARGE, c"TooLarge"),
    (codes::MAPVAR_INVALID_NAME, c"InvalidName"),
    (codes::MAPVAR_INVALID_ARGUMENT, c"InvalidArgument"),
    (codes::MAPVAR_PERMISSION_DENIED, c"PermissionDenied"),
    (codes::MAPVAR_FOREIGN_OWNER, c"ForeignOwner"),
    (codes::MAPVAR_NAME_TAKEN, c"NameTaken"),
    (codes::MAPVAR_NAME_REMOVED, c"NameRemoved"),
    (codes::MAPVAR_NOT_A_MAP, c"NotAMap"),
    (codes::MAPVAR_VERSION, c"Version"),
    (codes::MAPVAR_CORRUPT, c"Corrupt"),
    (codes::MAPVAR_TRUNCATED, c"Truncated"),
    (codes::MAPVAR_NEEDS_RECOVERY, c"NeedsRecovery"),
    (codes::MAPVAR_TIMED_OUT, c"TimedOut"),
    (codes::MAPVAR_CONTENDED, c"Contended"),
    (codes::MAPVAR_CONFLICT, c"Conflict"),
    (codes::MAPVAR_TAKEN_AWAY, c"TakenAway"),
    (codes::MAPVAR_READ_ONLY, c"ReadOnly"),
    (codes::MAPVAR_CLOSED, c"Closed"),
    (codes::MAPVAR_INTERRUPTED, c"Interrupted"),
    (codes::MAPVAR_UNSUPPORTED, c"Unsupported"),
    (codes::MAPVAR_IO, c"Io"),
    (MAPVAR_PANICKED, c"Panicked"),
];
