//! The error type of the project: its kind, the operation, the object, and the cause.

use std::{fmt, io, time::SystemTime};

/// A `Result` whose error type is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// The kind of an [`Error`].
        ///
        /// The numbers are stable. The C interface, the exit codes of the command-line tool and the
        /// error classes of other languages are derived from them.
        ///
        /// ```
        /// use mapvar_os::{ErrorKind, Name};
        ///
        /// let error = Name::new("a/b").unwrap_err();
        /// assert_eq!(error.kind(), ErrorKind::InvalidName);
        /// assert_eq!(error.kind().name(), "InvalidName");
        /// assert_eq!(error.kind().number(), 8);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum ErrorKind { $($(#[$doc])* $name = $number,)* }

        impl ErrorKind {
            /// All kinds, ordered by number.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// Returns the kind's name, as written in this enum.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name),)* }
            }
        }
    };
}

kinds! {
    /// No object, map or variable has this name.
    NotFound = 1,
    /// The object exists already, and the call had to create it.
    AlreadyExists = 2,
    /// The variable holds a value of another kind.
    WrongKind = 3,
    /// The number does not fit the requested type, or the range lies outside the object.
    OutOfRange = 4,
    /// The map has reached its maximum size, or all seats are taken.
    Full = 5,
    /// The operating system has no free space left (disk, `/dev/shm`, page file).
    NoSpace = 6,
    /// The value or range is larger than the object allows.
    TooLarge = 7,
    /// The name breaks the rules for names.
    InvalidName = 8,
    /// An argument is invalid; the message names it.
    InvalidArgument = 9,
    /// The operating system denies the access.
    PermissionDenied = 10,
    /// The object belongs to another user, so its content is not trusted.
    ForeignOwner = 11,
    /// An object of another kind has the name.
    NameTaken = 12,
    /// The name was removed while in use.
    NameRemoved = 13,
    /// The section or file contains no map.
    NotAMap = 14,
    /// This build does not support the map's format version.
    Version = 15,
    /// The region's content is inconsistent.
    Corrupt = 16,
    /// The object is shorter than its header says, or was truncated while mapped.
    Truncated = 17,
    /// The map must be recovered first, and this handle must not recover it.
    NeedsRecovery = 18,
    /// The timeout has passed; [`Error::holder`] may name the process that owns the lock.
    TimedOut = 19,
    /// Other writers kept changing the data during every attempt.
    Contended = 20,
    /// A transaction conflicted with other writers too often.
    Conflict = 21,
    /// Another program has taken a lock away by force, or erased the value that this program had
    /// set.
    TakenAway = 22,
    /// The handle was opened for reading only.
    ReadOnly = 23,
    /// The handle is closed, or belongs to the process that this one was forked from.
    Closed = 24,
    /// A signal or Ctrl-C ended the wait.
    Interrupted = 25,
    /// This system does not support the operation; the message names an alternative.
    Unsupported = 26,
    /// Another error of the operating system; [`Error::cause`] returns it.
    Io = 27,
}

impl ErrorKind {
    /// Returns the kind's number, which is the same in every release.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The process that owns a lock, as far as the system reports it.
///
/// ```
/// use mapvar_os::Holder;
///
/// let holder = Holder::new(17).with_program(Some("sim".into()));
/// assert_eq!(holder.to_string(), "process 17 (sim)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Name of the program, if the system reports it.
    pub program: Option<String>,
    /// The time at which the process acquired the lock, if recorded.
    pub since: Option<SystemTime>,
}

impl Holder {
    /// Creates a holder of which only the process id is known.
    #[doc(hidden)]
    pub fn new(pid: u32) -> Self {
        Self { pid, program: None, since: None }
    }

    /// Sets the name of the program.
    #[doc(hidden)]
    #[must_use]
    pub fn with_program(mut self, program: Option<String>) -> Self {
        self.program = program;
        self
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some(program) => write!(f, "process {} ({})", self.pid, program.escape_debug()),
            None => write!(f, "process {}", self.pid),
        }
    }
}

/// The error of every call that can fail.
///
/// It has a [kind](Error::kind) to match on, and a message for a person. The message names the
/// operation, the object, the condition and the remedy.
///
/// ```
/// let error = mapvar_os::Section::options().size(0).create().unwrap_err();
/// assert_eq!(error.kind(), mapvar_os::ErrorKind::InvalidArgument);
/// assert_eq!(error.to_string(), "create anonymous section: size 0; give a size of at least 1 byte");
/// ```
// Boxed, so that a `Result<u64>` on the path of `get` stays two words wide.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    object: String,
    detail: String,
    of_device: bool,
    holder: Option<Holder>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error of `kind` in `operation` (a verb, "open map") on `object` (a quoted name).
    #[doc(hidden)]
    #[cold]
    pub fn new(kind: ErrorKind, operation: &'static str, object: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            object: object.into(),
            detail: String::new(),
            of_device: false,
            holder: None,
            source: None,
        }))
    }

    /// Sets the condition and the remedy: "condition; remedy".
    #[doc(hidden)]
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Says that the device did not store what was written; see
    /// [`is_of_device`](Self::is_of_device).
    #[doc(hidden)]
    #[must_use]
    pub fn of_device(mut self) -> Self {
        self.0.of_device = true;
        self
    }

    /// Sets the process that owns the lock.
    #[doc(hidden)]
    #[must_use]
    pub fn held_by(mut self, holder: Option<Holder>) -> Self {
        self.0.holder = holder;
        self
    }

    /// Sets the underlying error, which [`cause`](Self::cause) returns.
    #[doc(hidden)]
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Replaces the operation and the object.
    ///
    /// For a layer that knows which operation the user requested.
    #[doc(hidden)]
    #[must_use]
    pub fn during(mut self, operation: &'static str, object: impl Into<String>) -> Self {
        self.0.operation = operation;
        self.0.object = object.into();
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the operation that failed, as a verb: `"open map"`.
    pub fn operation(&self) -> &str {
        self.0.operation
    }

    /// Returns the object of the operation.
    pub fn object(&self) -> &str {
        &self.0.object
    }

    /// Returns whether a flush failed because the device did not store what was written.
    ///
    /// Such an error is final: the system may have dropped the bytes, and a later flush that
    /// succeeds does not mean that they are stored. After any other error of a flush, for example
    /// an interrupted call or one that a sandbox denies, the bytes are still in memory, and the
    /// flush can be repeated.
    #[doc(hidden)]
    pub fn is_of_device(&self) -> bool {
        self.0.of_device
    }

    /// Returns the process that owns the lock, for [`ErrorKind::TimedOut`], if the system reports
    /// it.
    pub fn holder(&self) -> Option<&Holder> {
        self.0.holder.as_ref()
    }

    /// Returns the underlying error, such as an [`std::io::Error`], if any.
    ///
    /// The message of this error contains its message. So
    /// [`source`](std::error::Error::source) does not return it, but its own source.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// Returns the underlying code of the operating system (`errno`, `GetLastError`), if any.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.source.as_ref()?.downcast_ref::<io::Error>()?.raw_os_error()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, operation, object, detail, holder, source, of_device: _ } = &*self.0;
        f.write_str(operation)?;
        if !object.is_empty() {
            write!(f, " {object}")?;
        }
        match (detail.as_str(), source) {
            ("", Some(source)) => write!(f, ": {source}")?,
            ("", None) => write!(f, ": {}", kind.name())?,
            (detail, Some(source)) => write!(f, ": {detail} ({source})")?,
            (detail, None) => write!(f, ": {detail}")?,
        }
        match holder {
            Some(holder) => write!(f, "; held by {holder}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.0.kind.name())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message contains that of the underlying error, so the chain goes on behind it.
        self.0.source.as_deref()?.source()
    }
}

/// Keeps the message, and this error as the inner one.
///
/// ```
/// use std::io;
///
/// fn read() -> io::Result<()> {
///     mapvar_os::Name::new("a/b")?;
///     Ok(())
/// }
/// assert_eq!(read().unwrap_err().kind(), io::ErrorKind::InvalidInput);
/// ```
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NameRemoved => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists | ErrorKind::NameTaken => io::ErrorKind::AlreadyExists,
            ErrorKind::OutOfRange | ErrorKind::InvalidName | ErrorKind::InvalidArgument => {
                io::ErrorKind::InvalidInput
            }
            ErrorKind::NoSpace | ErrorKind::Full => io::ErrorKind::StorageFull,
            ErrorKind::PermissionDenied | ErrorKind::ForeignOwner => {
                io::ErrorKind::PermissionDenied
            }
            ErrorKind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            ErrorKind::WrongKind
            | ErrorKind::NotAMap
            | ErrorKind::Version
            | ErrorKind::Corrupt
            | ErrorKind::NeedsRecovery => io::ErrorKind::InvalidData,
            ErrorKind::Truncated => io::ErrorKind::UnexpectedEof,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Interrupted => io::ErrorKind::Interrupted,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Io => error
                .cause()
                .and_then(|cause| cause.downcast_ref::<io::Error>())
                .map_or(io::ErrorKind::Other, io::Error::kind),
            ErrorKind::TooLarge
            | ErrorKind::Contended
            | ErrorKind::Conflict
            | ErrorKind::TakenAway
            | ErrorKind::Closed => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order_and_stable() {
        for (at, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.number()), at + 1, "{kind}");
        }
        assert_eq!(ErrorKind::Io.number(), 27);
    }

    #[test]
    fn a_message_names_operation_object_remedy_and_holder() {
        let error = Error::new(ErrorKind::TimedOut, "set variable", "\"foo\"")
            .detail("its lock was not free within 5 s")
            .held_by(Some(Holder::new(17).with_program(Some("sim\u{1b}".into()))));
        assert_eq!(
            error.to_string(),
            "set variable \"foo\": its lock was not free within 5 s; held by process 17 (sim\\u{1b})"
        );
        assert_eq!(error.holder().map(|holder| holder.pid), Some(17));
    }

    #[test]
    fn the_code_of_the_system_is_kept() {
        let error =
            Error::new(ErrorKind::Io, "flush view", "").because(io::Error::from_raw_os_error(5));
        assert_eq!(error.raw_os_error(), Some(5));
        assert_eq!(error.to_string().matches("os error 5").count(), 1);
        assert!(error.cause().is_some() && std::error::Error::source(&error).is_none());
    }
}
