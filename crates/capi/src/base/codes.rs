//! The numbers of the interface. They never change; later versions add new ones.

use mapvar::ErrorKind;

/// Success.
pub const MAPVAR_OK: i32 = 0;
/// No object, map or variable of this name.
pub const MAPVAR_NOT_FOUND: i32 = 1;
/// The object exists already, and was to be created.
pub const MAPVAR_ALREADY_EXISTS: i32 = 2;
/// The variable holds another kind of value.
pub const MAPVAR_WRONG_KIND: i32 = 3;
/// The number does not fit the requested type, or the range is not within bounds.
pub const MAPVAR_OUT_OF_RANGE: i32 = 4;
/// The map has reached its largest size.
pub const MAPVAR_FULL: i32 = 5;
/// The operating system has no more space (disk, /dev/shm, page file).
pub const MAPVAR_NO_SPACE: i32 = 6;
/// The value or range is too large: also for the buffer given.
pub const MAPVAR_TOO_LARGE: i32 = 7;
/// The name breaks the rules for names.
pub const MAPVAR_INVALID_NAME: i32 = 8;
/// An argument is invalid (NULL where a value is needed, text that is not UTF-8, a handle of
/// another type); the message names it.
pub const MAPVAR_INVALID_ARGUMENT: i32 = 9;
/// The operating system denies the access.
pub const MAPVAR_PERMISSION_DENIED: i32 = 10;
/// The object belongs to another user, so nothing in it is trusted.
pub const MAPVAR_FOREIGN_OWNER: i32 = 11;
/// An object of another kind has the name.
pub const MAPVAR_NAME_TAKEN: i32 = 12;
/// The name was removed while in use.
pub const MAPVAR_NAME_REMOVED: i32 = 13;
/// The section or file holds no map.
pub const MAPVAR_NOT_A_MAP: i32 = 14;
/// The map has a version that this build does not support.
pub const MAPVAR_VERSION: i32 = 15;
/// The region is inconsistent.
pub const MAPVAR_CORRUPT: i32 = 16;
/// The object is shorter than its header says.
pub const MAPVAR_TRUNCATED: i32 = 17;
/// The map must be recovered first, and this handle cannot do it.
pub const MAPVAR_NEEDS_RECOVERY: i32 = 18;
/// The timeout has passed; mapvar_last_error_holder may name the process that the call waited for.
pub const MAPVAR_TIMED_OUT: i32 = 19;
/// Other writers kept changing the data to be read or written.
pub const MAPVAR_CONTENDED: i32 = 20;
/// A transaction, or a conditional set, conflicted with other writers.
pub const MAPVAR_CONFLICT: i32 = 21;
/// Another program took a lock away by force, or erased what this program had set.
pub const MAPVAR_TAKEN_AWAY: i32 = 22;
/// The handle was opened read-only.
pub const MAPVAR_READ_ONLY: i32 = 23;
/// The handle is closed or invalid, or its map belongs to the process that this one was forked
/// from.
pub const MAPVAR_CLOSED: i32 = 24;
/// A signal or Ctrl-C ended the wait.
pub const MAPVAR_INTERRUPTED: i32 = 25;
/// This system does not support it; the message says what to use instead.
pub const MAPVAR_UNSUPPORTED: i32 = 26;
/// Another error of the operating system; mapvar_last_error_os_code has its number.
pub const MAPVAR_IO: i32 = 27;
/// A bug of the library itself, stopped at its border: please report it. The call may or may not
/// have taken effect; the map and the handle stay usable.
pub const MAPVAR_PANICKED: i32 = 255;

/// As the length of a text: the text ends at its first NUL. (`cbindgen.toml` puts it into the
/// header.)
pub const MAPVAR_NUL: usize = usize::MAX;

/// Nil.
pub const MAPVAR_KIND_NIL: u32 = 1;
/// True or false.
pub const MAPVAR_KIND_BOOL: u32 = 2;
/// An integer that fits int64_t.
pub const MAPVAR_KIND_I64: u32 = 3;
/// An integer that fits only uint64_t.
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
/// The bytes of a plain type that its users identify by a number.
pub const MAPVAR_KIND_POD: u32 = 10;
/// Bytes that one language wrote and only it understands; the number identifies the language.
pub const MAPVAR_KIND_OPAQUE: u32 = 11;
/// The kind of a variable that is a plain struct. Its value is of MAPVAR_KIND_DICT;
/// mapvar_map_get_field reads one field.
pub const MAPVAR_KIND_STRUCT: u32 = 12;

/// The code of a kind of error.
pub(crate) fn of(kind: ErrorKind) -> i32 {
    kind.number().into()
}
