//! The one error of the project: what went wrong, in which operation, on which object, and why.

use std::{fmt, io, time::SystemTime};

/// A `Result` with the project's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What went wrong. The numbers are stable: the C interface, the exit codes of the command
        /// and the classes of other languages are made from them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum ErrorKind { $($(#[$doc])* $name = $number,)* }

        impl ErrorKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The kind's name as it stands in this enum.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name),)* }
            }
        }
    };
}

kinds! {
    /// No object, map or variable of this name.
    NotFound = 1,
    /// There is one already, and it was to be made anew.
    AlreadyExists = 2,
    /// The variable holds another kind of value.
    WrongKind = 3,
    /// The number does not fit the type asked for.
    OutOfRange = 4,
    /// The map has reached its largest size.
    Full = 5,
    /// The operating system has no more room (disk, `/dev/shm`, page file).
    NoSpace = 6,
    /// The value or range is larger than can be held here.
    TooLarge = 7,
    /// The name breaks the rules for names.
    InvalidName = 8,
    /// An argument makes no sense; the message says which.
    InvalidArgument = 9,
    /// The operating system denies the access.
    PermissionDenied = 10,
    /// The object belongs to another user, so nothing in it is trusted.
    ForeignOwner = 11,
    /// Another kind of object bears the name.
    NameTaken = 12,
    /// The name was removed while in use.
    NameRemoved = 13,
    /// The section or file holds no map.
    NotAMap = 14,
    /// The map is of a version that this build does not know.
    Version = 15,
    /// The region's content contradicts itself.
    Corrupt = 16,
    /// The object is shorter than its header says.
    Truncated = 17,
    /// The map must be recovered first, and this handle may not do it.
    NeedsRecovery = 18,
    /// The time allowed has passed; [`Error::holder`] may say who was in the way.
    TimedOut = 19,
    /// Others kept changing what was to be read or written.
    Contended = 20,
    /// A transaction met other writers too often.
    Conflict = 21,
    /// The variable of this handle was removed, or another program erased what this one had set.
    Removed = 22,
    /// The handle was opened for reading only.
    ReadOnly = 23,
    /// The handle is closed, or belongs to the process that this one was forked from.
    Closed = 24,
    /// A signal or Ctrl-C ended the wait.
    Interrupted = 25,
    /// This system cannot do it; the message says what to use instead.
    Unsupported = 26,
    /// Another error of the operating system; [`std::error::Error::source`] has it.
    Io = 27,
}

impl ErrorKind {
    /// The kind's number, the same in every release.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who holds a lock, as far as the system tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Name of its program, where the system tells it.
    pub program: Option<String>,
    /// Since when it has held the lock, where that is recorded.
    pub since: Option<SystemTime>,
}

impl Holder {
    /// A holder known by its process id alone.
    pub fn new(pid: u32) -> Self {
        Self { pid, program: None, since: None }
    }

    /// Adds the name of its program.
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

/// What failed: a [kind](Error::kind) to match on, and a message for a person that names the
/// operation, the object and the remedy.
///
/// ```
/// let error = mapvar_os::Section::options().size(0).create().unwrap_err();
/// assert_eq!(error.kind(), mapvar_os::ErrorKind::InvalidArgument);
/// assert_eq!(error.to_string(), "create anonymous section: size 0; give a size of at least 1 byte");
/// ```
// Boxed: a `Result<u64>` on the path of `get` stays two words wide.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    object: String,
    detail: String,
    holder: Option<Holder>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` in `operation` (a verb, "open map") on `object` (a name in quotes).
    #[cold]
    pub fn new(kind: ErrorKind, operation: &'static str, object: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            object: object.into(),
            detail: String::new(),
            holder: None,
            source: None,
        }))
    }

    /// Adds what is wrong and what to do about it: "what; remedy".
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Adds who is in the way.
    #[must_use]
    pub fn held_by(mut self, holder: Option<Holder>) -> Self {
        self.0.holder = holder;
        self
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, told of another operation and object: for a layer that knows what the user
    /// asked for.
    #[must_use]
    pub fn during(mut self, operation: &'static str, object: impl Into<String>) -> Self {
        self.0.operation = operation;
        self.0.object = object.into();
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done, as a verb: `"open map"`.
    pub fn operation(&self) -> &str {
        self.0.operation
    }

    /// What it was done to.
    pub fn object(&self) -> &str {
        &self.0.object
    }

    /// Who was in the way, for [`ErrorKind::TimedOut`], where the system tells.
    pub fn holder(&self) -> Option<&Holder> {
        self.0.holder.as_ref()
    }

    /// The code of the operating system underneath, where there is one (`errno`, `GetLastError`).
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.source.as_ref()?.downcast_ref::<io::Error>()?.raw_os_error()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, operation, object, detail, holder, source } = &*self.0;
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
        self.0.source.as_deref().map(|source| source as _)
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
        assert!(std::error::Error::source(&error).is_some());
    }
}
