//! Names in the form that Windows takes: UTF-16 with a zero at the end.

use super::cvt::cvt;
use crate::{
    error::{Error, ErrorKind, Result},
    name::{Name, Scope},
};
use std::{
    ffi::OsStr,
    os::windows::ffi::OsStrExt,
    path::{Component, Path, PathBuf, Prefix},
};

/// The longest name of a kernel object that is passed on. A `UNICODE_STRING` counts its bytes in 16
/// bits, and a name that is too long for it must not be truncated to another one.
const LONGEST_NATIVE: usize = 16_000;

/// See [`Name::native`].
pub(crate) fn check_native_name(text: &str) -> Result<(), &'static str> {
    let rest = ["Local\\", "Global\\"].iter().find_map(|scope| text.strip_prefix(scope));
    let rest = rest.unwrap_or(text);
    if rest.is_empty() {
        return Err("nothing behind the scope; give the object's name");
    }
    if rest.contains('\\') {
        return Err("a backslash is allowed only in a leading Local\\ or Global\\ (case counts)");
    }
    if text.encode_utf16().nth(LONGEST_NATIVE).is_some() {
        return Err("more than 16,000 characters; give a shorter name");
    }
    Ok(())
}

/// See [`Name::of_gem`]. The name must be ASCII, which is the same in every code page.
pub(crate) fn gem_name(text: &str, scope: Scope) -> Result<Name> {
    if !text.is_ascii() || text.contains('\\') {
        return Err(Error::new(ErrorKind::InvalidName, "name section", format!("{text:?}")).detail(
            "the gem's names depend on the code page; use one of ASCII, without a backslash (the \
             scope says Global)",
        ));
    }
    match scope {
        Scope::Local => Name::native_by(text, check_native_name),
        Scope::Global => Name::native_by(&scoped(scope, text), check_native_name),
    }
}

/// Returns the name of the kernel object that `name` stands for.
pub(super) fn object(name: &Name) -> String {
    if name.is_native() { name.as_str().into() } else { scoped(name.scope(), name.as_str()) }
}

/// Returns `text` in the namespace of `scope`.
pub(super) fn scoped(scope: Scope, text: &str) -> String {
    match scope {
        Scope::Local => format!("Local\\{text}"),
        Scope::Global => format!("Global\\{text}"),
    }
}

/// UTF-16 with a zero at the end and none before it.
pub(super) struct Wide(Vec<u16>);

impl Wide {
    pub(super) fn new(text: impl AsRef<OsStr>) -> Result<Self> {
        let mut units: Vec<u16> = text.as_ref().encode_wide().collect();
        if units.contains(&0) {
            return Err(Error::new(ErrorKind::InvalidName, "", "").detail("a NUL in the name"));
        }
        units.push(0);
        Ok(Self(units))
    }

    /// Returns a pointer that is valid for as long as `self`.
    pub(super) fn as_ptr(&self) -> *const u16 {
        self.0.as_ptr()
    }
}

/// Returns a file's path in the form that the calls of Windows take, whatever the current folder
/// and the path's length.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    check_components(path)?;
    let path = std::path::absolute(path).map_err(cvt)?;
    // The calls take paths up to MAX_PATH as they are. The name of the file aside may be longer
    // than this one's, so the limit here is lower.
    if path.as_os_str().len() < 200 {
        return Ok(path);
    }
    let mut long = std::ffi::OsString::new();
    match prefix(&path) {
        Some(Prefix::Disk(_)) => long.push(r"\\?\"),
        Some(Prefix::UNC(..)) => {
            let rest: PathBuf = path.components().skip(1).collect();
            if let Some(Prefix::UNC(server, share)) = prefix(&path) {
                long.push(r"\\?\UNC\");
                long.push(server);
                long.push(r"\");
                long.push(share);
                long.push(rest);
                return Ok(long.into());
            }
        }
        _ => return Ok(path),
    }
    long.push(path);
    Ok(long.into())
}

/// The most UTF-16 units that a part of a path has.
const LONGEST_COMPONENT: usize = 255;

/// Refuses what Windows takes for a device, whatever folder it is in, and parts that are too long.
fn check_components(path: &Path) -> Result<()> {
    let refuse = |kind, detail: String| Err(Error::new(kind, "", "").detail(detail));
    for part in path.components() {
        let Component::Normal(part) = part else { continue };
        let units = part.encode_wide().count();
        if units > LONGEST_COMPONENT {
            return refuse(
                ErrorKind::InvalidName,
                format!(
                    "a part of the path has {units} characters, and Windows takes \
                     {LONGEST_COMPONENT}; choose a shorter name"
                ),
            );
        }
    }
    let device = path.file_name().and_then(OsStr::to_str).and_then(device);
    match device {
        Some(device)
            if !matches!(
                prefix(path),
                Some(Prefix::Verbatim(_) | Prefix::VerbatimDisk(_) | Prefix::VerbatimUNC(..))
            ) =>
        {
            refuse(
                ErrorKind::NameTaken,
                format!("{device} is a device of Windows and no file; choose another name"),
            )
        }
        _ => Ok(()),
    }
}

/// Returns the device that Windows takes a file's name for, with any extension.
fn device(name: &str) -> Option<String> {
    let stem = name.split(['.', ':']).next().unwrap_or_default().trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    let numbered = |device: &str| {
        let digit = stem.strip_prefix(device);
        digit.is_some_and(|digit| matches!(digit.as_bytes(), [b'1'..=b'9']))
    };
    let is_one = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT");
    is_one.then_some(stem)
}

/// Returns the drive or share that a path begins with.
pub(super) fn prefix(path: &Path) -> Option<Prefix<'_>> {
    match path.components().next()? {
        Component::Prefix(prefix) => Some(prefix.kind()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_names_have_a_backslash_only_behind_their_scope() {
        for good in ["alpha", "Local\\alpha", "Global\\a/b", "a.b c", "local"] {
            assert_eq!(check_native_name(good), Ok(()), "{good}");
        }
        for bad in ["a\\b", "Local\\", "Local\\a\\b", "local\\a", "Session\\1\\a", "\\a"] {
            assert!(check_native_name(bad).is_err(), "{bad}");
        }
        assert!(check_native_name(&"a".repeat(16_001)).is_err());
    }

    #[test]
    fn devices_and_long_parts_are_no_files() {
        for bad in ["CON", "con.map", r"C:\x\Nul", "aux .txt", "COM1", "lpt9.a.b"] {
            let error = absolute(Path::new(bad)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NameTaken, "{bad}");
            assert!(error.to_string().contains("device of Windows"), "{error}");
        }
        for good in ["CONS", "com", "COM0", "COM10", "a.con", r"C:\CON\x", "LPT"] {
            assert!(absolute(Path::new(good)).is_ok(), "{good}");
        }
        let error = absolute(Path::new(&format!(r"C:\{}\x", "p".repeat(256)))).unwrap_err();
        assert!(error.to_string().contains("256 characters"), "{error}");
    }

    #[test]
    fn long_paths_are_told_so_that_windows_takes_them() {
        let long = "x".repeat(220);
        assert_eq!(absolute(Path::new(r"C:\a\b")).unwrap(), Path::new(r"C:\a\b"));
        let path = absolute(Path::new(&format!(r"C:\{long}"))).unwrap();
        assert_eq!(path.to_str().unwrap(), format!(r"\\?\C:\{long}"));
        let path = absolute(Path::new(&format!(r"\\server\share\{long}"))).unwrap();
        assert_eq!(path.to_str().unwrap(), format!(r"\\?\UNC\server\share\{long}"));
    }
}
