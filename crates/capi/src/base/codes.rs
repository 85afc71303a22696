//! The numbers of the interface. They never change; new ones are added.

use mapvar::ErrorKind;

/// Done.
pub const MAPVAR_OK: i32 = 0;
/// No object, map or variable of this name.
pub const MAPVAR_NOT_FOUND: i32 = 1;
/// There is one already, and it was to be made anew.
pub const MAPVAR_ALREADY_EXISTS: i32 = 2;
/// The variable holds another kind of value.
pub const MAPVAR_WRONG_KIND: i32 = 3;
/// The number does not fit the type asked for, or the range does not lie within.
pub const MAPVAR_OUT_OF_RANGE: i32 = 4;
/// The map has reached its largest size.
pub const MAPVAR_FULL: i32 = 5;
/// The operating system has no more room (disk, /dev/shm, page file).
pub const MAPVAR_NO_SPACE: i32 = 6;
/// The value or range is larger than can be held here: than the buffer that was given, too.
pub const MAPVAR_TOO_LARGE: i32 = 7;
/// The name breaks the rules for names.
pub const MAPVAR_INVALID_NAME: i32 = 8;
/// An argument makes no sense (NULL where something is needed, text that is not UTF-8, a handle of
/// another type); the message says which.
pub const MAPVAR_INVALID_ARGUMENT: i32 = 9;
/// The operating system denies the access.
pub const MAPVAR_PERMISSION_DENIED: i32 = 10;
/// The object belongs to another user, so nothing in it is trusted.
pub const MAPVAR_FOREIGN_OWNER: i32 = 11;
/// Another kind of object bears the name.
pub const MAPVAR_NAME_TAKEN: i32 = 12;
/// The name was removed while in use.
pub const MAPVAR_NAME_REMOVED: i32 = 13;
/// The section or file holds no map.
pub const MAPVAR_NOT_A_MAP: i32 = 14;
/// The map is of a version that this build does not know.
pub const MAPVAR_VERSION: i32 = 15;
/// The region's content contradicts itself.
pub const MAPVAR_CORRUPT: i32 = 16;
/// The object is shorter than its header says.
pub const MAPVAR_TRUNCATED: i32 = 17;
/// The map must be recovered first, and this handle may not do it.
pub const MAPVAR_NEEDS_RECOVERY: i32 = 18;
/// The time allowed has passed; mapvar_last_error_holder may say who was in the way.
pub const MAPVAR_TIMED_OUT: i32 = 19;
/// Others kept changing what was to be read or written.
pub const MAPVAR_CONTENDED: i32 = 20;
/// A transaction, or a set that expects a version, met other writers.
pub const MAPVAR_CONFLICT: i32 = 21;
/// The variable of this handle was removed.
pub const MAPVAR_REMOVED: i32 = 22;
/// The handle was opened for reading only.
pub const MAPVAR_READ_ONLY: i32 = 23;
/// The handle is closed, or was never one, or its map belongs to the process that this one was
/// forked from.
pub const MAPVAR_CLOSED: i32 = 24;
/// A signal or Ctrl-C ended the wait.
pub const MAPVAR_INTERRUPTED: i32 = 25;
/// This system cannot do it; the message says what to use instead.
pub const MAPVAR_UNSUPPORTED: i32 = 26;
/// Another error of the operating system; mapvar_last_error_os_code has its number.
pub const MAPVAR_IO: i32 = 27;
/// A fault of the library itself, stopped at its border: please report it. What the call was to do
/// is done or not; the map and the handle can be used on.
pub const MAPVAR_PANICKED: i32 = 255;

/// As a length of a text: it ends with its first NUL. (The header has it by `cbindgen.toml`.)
pub const MAPVAR_NUL: usize = usize::MAX;

/// Nothing.
pub const MAPVAR_KIND_NIL: u32 = 1;
/// True or false.
pub const MAPVAR_KIND_BOOL: u32 = 2;
/// A whole number that fits int64_t.
pub const MAPVAR_KIND_I64: u32 = 3;
/// A whole number that fits uint64_t only.
pub const MAPVAR_KIND_U64: u32 = 4;
/// A double.
pub const MAPVAR_KIND_F64: u32 = 5;
/// Text, UTF-8.
pub const MAPVAR_KIND_STR: u32 = 6;
/// Bytes.
pub const MAPVAR_KIND_BYTES: u32 = 7;
/// A list of values.
pub const MAPVAR_KIND_LIST: u32 = 8;
/// Keys and values.
pub const MAPVAR_KIND_DICT: u32 = 9;
/// The bytes of a plain type that its users know by a number.
pub const MAPVAR_KIND_POD: u32 = 10;
/// Bytes that one language wrote and only it understands; the number says which.
pub const MAPVAR_KIND_OPAQUE: u32 = 11;

/// The code of a kind of error.
pub(crate) fn of(kind: ErrorKind) -> i32 {
    kind.number().into()
}
