//! Sections over files: existing ones opened as they are, new ones built aside and published whole.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    super::{
        cvt::{cvt, is, last, on_a_name, with_remedy},
        machine,
        memory::pages,
        names::{self, Wide},
        security::Private,
    },
    handle::{self, SHARE_ALL, Section},
    named::{Fill, InitMutex, check_owner, check_size, exists, no_size},
};
use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
    options::{Protection, SectionOptions},
    spec::{How, Origin},
};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::Write,
    os::windows::{
        ffi::OsStringExt,
        fs::OpenOptionsExt,
        io::{AsHandle, AsRawHandle, FromRawHandle},
    },
    path::{Path, PathBuf, Prefix},
    ptr::null_mut,
    thread,
    time::{Duration, Instant},
};
use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_FILE_EXISTS, ERROR_FILE_NOT_FOUND,
        ERROR_SHARING_VIOLATION, GENERIC_EXECUTE, GENERIC_READ, GENERIC_WRITE,
        INVALID_HANDLE_VALUE,
    },
    Storage::FileSystem::{
        CREATE_NEW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_NAME_NORMALIZED, FILE_TYPE_DISK,
        GetDriveTypeW, GetFileType, GetFinalPathNameByHandleW, MoveFileExW,
        SECURITY_IDENTIFICATION,
    },
    System::WindowsProgramming::DRIVE_REMOTE,
};

/// Finds or creates a section over the file at `path`.
pub(crate) fn obtain(
    options: &SectionOptions,
    path: &Path,
    how: How,
    fill: &mut Fill<'_>,
) -> Result<(Section, Origin)> {
    handle::check(options, true, options.size.unwrap_or(0))?;
    let path = names::absolute(path)?;
    if !options.allow_network {
        refuse_network(&path)?;
    }
    // Only one process at a time creates or joins a named section over a file. So a name that is
    // taken is detected before a file is made.
    let _alone = match &options.name {
        Some(name) => Some(InitMutex::take(name, options.timeout)?),
        None => None,
    };
    let deadline = Instant::now().checked_add(options.timeout);
    let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    loop {
        if how != How::Create {
            match open(options, &path) {
                Ok(section) => return Ok((section, Origin::Opened)),
                Err(error) if is(&error, ERROR_SHARING_VIOLATION) && !late() => {
                    // Another program shares the file with none, perhaps only while it creates it.
                    thread::sleep(Duration::from_millis(5));
                    continue;
                }
                Err(error) if how == How::OpenOrCreate && is(&error, ERROR_FILE_NOT_FOUND) => {
                    if options.size.is_none() {
                        return Err(no_size(error));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        match obstacle(&path) {
            // The file has appeared since the open.
            Some(error)
                if how == How::OpenOrCreate
                    && error.kind() == ErrorKind::AlreadyExists
                    && !late() =>
            {
                continue;
            }
            Some(error) => return Err(error),
            None => {}
        }
        match create(options, &path, fill) {
            Ok(section) => return Ok((section, Origin::Created)),
            // Another process was faster: open its file.
            Err(error)
                if how == How::OpenOrCreate
                    && error.kind() == ErrorKind::AlreadyExists
                    && !late() =>
            {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Returns the reason why no new file can be made at `path`; `None` if there is none.
fn obstacle(path: &Path) -> Option<Error> {
    let there = path.symlink_metadata().ok()?;
    let there = if there.is_symlink() {
        let nowhere = "it is a symbolic link to nothing; remove it, or make what it leads to";
        match path.metadata() {
            Ok(there) => there,
            Err(_) => return Some(Error::new(ErrorKind::NameTaken, "", "").detail(nowhere)),
        }
    } else {
        there
    };
    Some(if there.is_file() { exists() } else { other_kind(None) })
}

/// Returns the error for a path that is no file; `underneath` is the error of Windows.
fn other_kind(underneath: Option<&Error>) -> Error {
    let detail = "it is no file on a disk but another kind of object (a directory, a pipe, a \
                  device); choose another path";
    match underneath {
        Some(error) => with_remedy(error, ErrorKind::NameTaken, detail),
        None => Error::new(ErrorKind::NameTaken, "", "").detail(detail),
    }
}

/// Returns the rights to the file that views of this protection need.
fn rights(protection: Protection) -> u32 {
    let write = if protection.writable() { GENERIC_WRITE } else { 0 };
    let execute = if protection.executable() { GENERIC_EXECUTE } else { 0 };
    GENERIC_READ | write | execute
}

fn open(options: &SectionOptions, path: &Path) -> Result<Section> {
    let file = OpenOptions::new()
        .access_mode(rights(options.protection))
        .share_mode(SHARE_ALL)
        // The server of a pipe may learn this user's identity, but not act as this user.
        .security_qos_flags(SECURITY_IDENTIFICATION)
        .open(path)
        .map_err(|error| not_opened(path, cvt(error)))?;
    check_kind(&file)?;
    if !options.allow_network
        && let Some(path) = final_path(&file)
    {
        refuse_network(&path)?;
    }
    let writes = options.protection.writable();
    if file.metadata().map_err(cvt)?.len() == 0 {
        let section = Section::empty(file, writes, options)?;
        check_size(&section, options)?;
        return Ok(section);
    }
    let section = over(options, file, writes, false)?;
    check_size(&section, options)?;
    Ok(section)
}

/// Creates the section object over an open file, under the name of the options, if any.
fn over(options: &SectionOptions, file: File, writes: bool, created: bool) -> Result<Section> {
    let object = options.name.as_ref().map(names::object);
    let (handle, existed) = handle::make(Some(&file), object.as_deref(), 0, options).map_err(
        |error| match &object {
            Some(object) => on_a_name(object, true, error),
            None => error,
        },
    )?;
    if existed {
        if let Some(false) = options.name.as_ref().map(Name::is_native) {
            check_owner(&handle)?;
        }
        // The object of this name may be over another file, or over none.
        let (ours, _) = handle::make(Some(&file), None, 0, options)?;
        let ours = pages::file_behind(ours.as_handle());
        if ours.is_none() || ours != pages::file_behind(handle.as_handle()) {
            return Err(Error::new(ErrorKind::NameTaken, "", "")
                .detail("a section that is not over this file has the name; choose another name"));
        }
    }
    Section::new(handle, Some((file, writes)), created, options)
}

fn not_opened(path: &Path, error: Error) -> Error {
    // Without a particular flag, Windows denies to open a folder.
    if is(&error, ERROR_ACCESS_DENIED) && path.is_dir() {
        return other_kind(Some(&error));
    }
    if is(&error, ERROR_FILE_NOT_FOUND) {
        return with_remedy(&error, ErrorKind::NotFound, "there is no such file; create it first");
    }
    error
}

fn check_kind(file: &File) -> Result<()> {
    // SAFETY: the handle is open for as long as it is borrowed.
    let on_disk = unsafe { GetFileType(file.as_raw_handle()) } == FILE_TYPE_DISK;
    if on_disk && file.metadata().map_err(cvt)?.is_file() { Ok(()) } else { Err(other_kind(None)) }
}

/// Returns the real path of a file, with links followed; `None` if its drive does not report it.
fn final_path(file: &File) -> Option<PathBuf> {
    let mut path = vec![0_u16; 32_768];
    // SAFETY: the handle is open for as long as it is borrowed, and the out pointer leads to as
    // many characters as the length says.
    let len = unsafe {
        GetFinalPathNameByHandleW(
            file.as_raw_handle(),
            path.as_mut_ptr(),
            path.len() as u32,
            FILE_NAME_NORMALIZED,
        )
    };
    let path = path.get(..len as usize).filter(|path| !path.is_empty())?;
    Some(OsString::from_wide(path).into())
}

fn refuse_network(path: &Path) -> Result<()> {
    let remote = match names::prefix(path) {
        Some(Prefix::UNC(..) | Prefix::VerbatimUNC(..)) => true,
        Some(Prefix::Disk(letter) | Prefix::VerbatimDisk(letter)) => {
            let root = Wide::new(format!("{}:\\", char::from(letter)))?;
            // SAFETY: the path lives until after the call and ends with a zero.
            unsafe { GetDriveTypeW(root.as_ptr()) == DRIVE_REMOTE }
        }
        _ => false,
    };
    if !remote {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "", "").detail(
        "it is on a network drive, where machines do not see each other's writes; use a local \
         disk, or allow_network if one machine alone uses it",
    ))
}

/// Builds the file aside, whole, and then gives it its name.
///
/// New bytes are written as zeros. Windows calls the contents of a longer file "not defined",
/// although most of its file systems zero them. Where all files are sparse, as under Wine, only
/// written bytes are certain to have disk space.
fn create(options: &SectionOptions, path: &Path, fill: &mut Fill<'_>) -> Result<Section> {
    let size = options.size.unwrap_or(0);
    if let Some(name) = &options.name {
        check_name_is_free(name, options)?;
    }
    let mut aside = Aside::beside(path)?;
    let mut file = aside.create()?;
    check_kind(&file)?;
    if !options.allow_network
        && let Some(path) = final_path(&file)
    {
        refuse_network(&path)?;
    }
    // First the length: a disk that cannot hold it fails before a byte is written.
    file.set_len(size).map_err(cvt)?;
    write_zeros(&mut file, size).map_err(cvt)?;
    let section = over(options, file, true, true)?;
    fill(section.duplicate()?)?;
    aside.publish(path)?;
    aside.published = true;
    Ok(section)
}

fn check_name_is_free(name: &Name, options: &SectionOptions) -> Result<()> {
    let object = names::object(name);
    match handle::open(&object, name.is_native(), options) {
        Ok(_) => Err(exists()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(on_a_name(&object, false, error)),
    }
}

fn write_zeros(file: &mut File, size: u64) -> std::io::Result<()> {
    const PART: usize = 1 << 18;
    let zeros = vec![0; usize::try_from(size).map_or(PART, |size| size.min(PART))];
    let mut left = size;
    while left > 0 {
        let part = usize::try_from(left).map_or(PART, |left| left.min(PART));
        file.write_all(zeros.get(..part).unwrap_or_default())?;
        left -= part as u64;
    }
    Ok(())
}

/// The path of a file that is not yet complete. Dropping it removes the file unless it was
/// published.
struct Aside {
    path: PathBuf,
    published: bool,
}

impl Aside {
    fn beside(path: &Path) -> Result<Self> {
        let (Some(folder), Some(_)) = (path.parent(), path.file_name()) else {
            return Err(Error::new(ErrorKind::InvalidArgument, "", "")
                .detail("the path names no file; give it a name"));
        };
        let [one, two] = machine::random()?;
        let path = folder.join(format!(".mapvar-{:016x}.new", one ^ two));
        Ok(Self { path, published: false })
    }

    /// Creates the file, for this user alone.
    fn create(&self) -> Result<File> {
        let wide = Wide::new(&self.path)?;
        let private = Private::new()?;
        let attributes = private.attributes(false);
        // SAFETY: path and attributes live until after the call, and the path ends with a zero.
        let file = unsafe {
            CreateFileW(
                wide.as_ptr(),
                GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE,
                SHARE_ALL,
                attributes.as_ptr(),
                CREATE_NEW,
                FILE_ATTRIBUTE_NORMAL,
                null_mut(),
            )
        };
        if file == INVALID_HANDLE_VALUE {
            let error = last();
            return Err(match error.kind() {
                ErrorKind::PermissionDenied => with_remedy(
                    &error,
                    ErrorKind::PermissionDenied,
                    "its folder takes no new files from this user; choose another folder",
                ),
                ErrorKind::NotFound => with_remedy(
                    &error,
                    ErrorKind::NotFound,
                    "its folder is missing; create the folder first",
                ),
                _ => error,
            });
        }
        // SAFETY: the call returned this handle, and no other value owns it.
        Ok(unsafe { File::from_raw_handle(file) })
    }

    /// Gives the file its name, unless the name is taken. Its handles stay valid.
    fn publish(&self, path: &Path) -> Result<()> {
        let from = Wide::new(&self.path)?;
        let to = Wide::new(path)?;
        for pause in 1.. {
            // SAFETY: both paths live until after the call and end with a zero.
            if unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), 0) } != 0 {
                return Ok(());
            }
            let error = last();
            if is(&error, ERROR_ALREADY_EXISTS) || is(&error, ERROR_FILE_EXISTS) {
                return Err(exists());
            }
            // A virus scanner may read the new file, and share it with no other process.
            if !is(&error, ERROR_SHARING_VIOLATION) || pause > 50 {
                // If a directory has that name, Windows denies access instead.
                return Err(obstacle(path).unwrap_or(error));
            }
            thread::sleep(Duration::from_millis(pause.min(10)));
        }
        Err(exists())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // The handles were closed before: this value is the first local of `create`. A file that
        // cannot be removed is left; the error that ended `create` matters more.
        if !self.published {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
