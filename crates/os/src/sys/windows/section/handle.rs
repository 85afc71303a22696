//! The section object: its handle, its file's handle, its true size, and the conversion of options
//! to constants of Windows.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::super::{
    cvt::{cvt, last, of_flush, status},
    memory::pages,
    names::{self, Wide},
    security::Private,
};
use crate::{
    error::{Error, ErrorKind, Result},
    options::{Protection, SectionFlags, SectionOptions},
    spec::SectionId,
};
use std::{
    ffi::c_void,
    fs::{File, OpenOptions},
    io,
    os::windows::{
        fs::OpenOptionsExt,
        io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, IntoRawHandle, OwnedHandle},
    },
    path::PathBuf,
    ptr::{null, null_mut},
    sync::Mutex,
};
use windows_sys::Win32::{
    Foundation::{
        CloseHandle, ERROR_ALREADY_EXISTS, GetLastError, HANDLE, INVALID_HANDLE_VALUE, NTSTATUS,
        SetLastError,
    },
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
        FILE_STANDARD_INFO, FileStandardInfo, GetFileInformationByHandle,
        GetFileInformationByHandleEx, READ_CONTROL,
    },
    System::Memory::{
        CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, GetLargePageMinimum, OpenFileMappingW,
        PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY, PAGE_READONLY,
        PAGE_READWRITE, PAGE_WRITECOPY, SEC_COMMIT, SEC_IMAGE, SEC_LARGE_PAGES, SEC_NOCACHE,
        SEC_RESERVE, SEC_WRITECOMBINE, SECTION_MAP_EXECUTE, SECTION_QUERY,
    },
};

pub(super) const SHARE_ALL: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// The system's handle of a section, as the contract calls it.
#[derive(Debug)]
pub(crate) struct Section {
    /// `None` for a file of 0 bytes, for which Windows creates no section object.
    object: Option<OwnedHandle>,
    /// Its file, if known: to flush to the device, to identify the file, to attach.
    pub(crate) file: Option<File>,
    /// Whether `file` was opened for writing.
    pub(crate) writes_file: bool,
    /// The file's volume, read when it was opened. Wine no longer reports it after the file was
    /// renamed, and a file does not leave its volume.
    volume: u32,
    /// Size of `object` in bytes, which never changes; a file may be larger by now.
    pub(crate) size: u64,
    /// The options for a larger object over the file.
    pub(crate) options: SectionOptions,
    /// Whether the call that returned this handle created the section.
    pub(super) created: bool,
    /// Whether views may have a file behind them.
    pub(crate) backed: bool,
    pub(crate) pages: Pages,
    /// The locks of this handle as a user of the file.
    pub(super) places: Mutex<Places>,
    /// Held by the thread that grows the section.
    pub(super) growing: Mutex<()>,
    /// The absolute path of a file: a relative one would change its meaning with the program's
    /// directory.
    path: Option<PathBuf>,
}

/// The locks of a handle as a user of a file.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) gate: bool,
    pub(super) entered: u32,
}

/// A section object to map.
pub(crate) enum Object<'a> {
    Kept(BorrowedHandle<'a>),
    New(OwnedHandle),
}

impl AsHandle for Object<'_> {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        match self {
            Self::Kept(object) => *object,
            Self::New(object) => object.as_handle(),
        }
    }
}

/// The kind of memory of its views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    Plain,
    /// Memory is allocated only when a process commits the pages.
    Reserved,
    Large,
    /// An executable image; its pages have protections of their own.
    Image,
}

impl Section {
    /// Creates the value for a section and, if it has one, its file and whether that was opened for
    /// writing.
    pub(super) fn new(
        section: OwnedHandle,
        file: Option<(File, bool)>,
        created: bool,
        options: &SectionOptions,
    ) -> Result<Self> {
        let (size, attributes) = query(&section)?;
        let backed = file.is_some() || !created;
        let pages = if attributes & SEC_IMAGE != 0 || options.flags.contains(SectionFlags::IMAGE) {
            Pages::Image
        } else if options.flags.contains(SectionFlags::LARGE_PAGES) {
            Pages::Large
        } else if file.is_none() && attributes & SEC_RESERVE != 0 {
            Pages::Reserved
        } else {
            Pages::Plain
        };
        let (file, writes_file) = file.map_or((None, false), |(file, writes)| (Some(file), writes));
        let volume = file.as_ref().map_or(Ok(0), |file| file_info(file).map(volume))?;
        Ok(Self {
            object: Some(section),
            file,
            writes_file,
            volume,
            size,
            options: options.clone(),
            created,
            backed,
            pages,
            places: Mutex::default(),
            growing: Mutex::default(),
            path: absolute(options),
        })
    }

    /// Creates the value for an empty file. The common code maps no empty range, so no caller needs
    /// the missing object before the file has grown.
    pub(super) fn empty(file: File, writes_file: bool, options: &SectionOptions) -> Result<Self> {
        Ok(Self {
            object: None,
            volume: volume(file_info(&file)?),
            file: Some(file),
            writes_file,
            size: 0,
            options: options.clone(),
            created: false,
            backed: true,
            pages: Pages::Plain,
            places: Mutex::default(),
            growing: Mutex::default(),
            path: absolute(options),
        })
    }

    /// Returns other handles to the same objects.
    pub(super) fn duplicate(&self) -> Result<Self> {
        let object = self.object.as_ref().map(OwnedHandle::try_clone);
        let file = self.file.as_ref().map(File::try_clone);
        Ok(Self {
            object: object.transpose().map_err(cvt)?,
            file: file.transpose().map_err(cvt)?,
            writes_file: self.writes_file,
            volume: self.volume,
            size: self.size,
            options: self.options.clone(),
            created: self.created,
            backed: self.backed,
            pages: self.pages,
            places: Mutex::default(),
            growing: Mutex::default(),
            path: self.path.clone(),
        })
    }

    /// Returns the true size in bytes: the present one of the file, or that of the object.
    pub(crate) fn size(&self) -> Result<u64> {
        match &self.file {
            Some(file) if self.pages != Pages::Image => length(file),
            _ => Ok(self.size),
        }
    }

    /// See [`crate::sys::Platform::allocated`]. Windows does not report the committed pages of an
    /// object in the page file.
    pub(crate) fn allocated(&self) -> Result<Option<u64>> {
        self.file.as_ref().map(allocation).transpose()
    }

    /// Returns a section object of at least `size` bytes: the one of this handle, or a new one that
    /// is as long as the file is now. A view of the object does not need it any more.
    pub(crate) fn object(&self, size: u64) -> Result<Object<'_>> {
        match (&self.object, &self.file) {
            (Some(object), _) if size <= self.size => Ok(Object::Kept(object.as_handle())),
            (_, Some(file)) => {
                make(Some(file), None, 0, &self.options).map(|(o, _)| Object::New(o))
            }
            _ => Err(Error::new(ErrorKind::Truncated, "", "")
                .detail(format!("the section has {} bytes of {size}", self.size))),
        }
    }

    /// See [`crate::sys::Platform::check_name`]. Windows refuses to remove or replace a file that
    /// is mapped. Other systems that serve the file (Wine's, a share's) do not.
    pub(crate) fn check_name(&self) -> Result<()> {
        let (Some(file), Some(path)) = (&self.file, &self.path) else { return Ok(()) };
        // No access is asked for, so that no other program's sharing forbids it.
        let found = OpenOptions::new().access_mode(0).share_mode(SHARE_ALL).open(path);
        let index = |of: BY_HANDLE_FILE_INFORMATION| (of.nFileIndexHigh, of.nFileIndexLow);
        let detail = match found.map_err(cvt).and_then(|found| file_info(&found)) {
            Ok(found)
                if volume(found) == self.volume && index(found) == index(file_info(file)?) =>
            {
                return Ok(());
            }
            Ok(_) => "it was replaced: its name leads to another file now",
            Err(error) if error.kind() == ErrorKind::NotFound => "it was renamed or removed",
            Err(error) if error.kind() == ErrorKind::NameRemoved => "it was removed",
            // For example, the folder may not be read any more: nothing is known.
            Err(_) => return Ok(()),
        };
        Err(Error::new(ErrorKind::NameRemoved, "", "").detail(format!(
            "{detail}, so no other process can find what this one sets; open it again, and copy to \
             it what it lacks"
        )))
    }

    /// Returns volume and index of the file.
    pub(crate) fn id(&self) -> Result<Option<SectionId>> {
        let Some(file) = &self.file else { return Ok(None) };
        let of = file_info(file)?;
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        Ok(Some(SectionId {
            volume: self.volume.into(),
            device: 0,
            file: pair(of.nFileIndexHigh, of.nFileIndexLow),
            // Not the creation time. Programs set it to any value, and Windows passes it on to a
            // new file of an old name (tunnelling). Where the disk keeps none (Wine), it is the
            // time of the last change. An index of NTFS includes a count of the files that had it
            // before.
            born: 0,
            lasting: true,
        }))
    }

    /// Waits for the device. A read-only handle has nothing to write, and Windows would refuse it.
    pub(crate) fn sync(&self) -> Result<()> {
        match &self.file {
            Some(file) if self.writes_file => file.sync_all().map_err(cvt).map_err(of_flush),
            _ => Ok(()),
        }
    }

    /// Closes the handles, the file's last, and returns the first error.
    pub(crate) fn close(self) -> Result<()> {
        let object = self.object.map_or(Ok(()), close);
        let file = self.file.map_or(Ok(()), |file| close(file.into()));
        object.and(file)
    }
}

impl AsHandle for Section {
    /// Returns the section object's handle, or the file's for an empty file, which has no section
    /// object.
    fn as_handle(&self) -> BorrowedHandle<'_> {
        match (&self.object, &self.file) {
            (Some(object), _) => object.as_handle(),
            (None, Some(file)) => file.as_handle(),
            // SAFETY: no code closes the value -1, and it needs no owner. Neither constructor
            // leaves both out.
            (None, None) => unsafe { BorrowedHandle::borrow_raw(INVALID_HANDLE_VALUE) },
        }
    }
}

/// Returns the absolute path of the options' file.
fn absolute(options: &SectionOptions) -> Option<PathBuf> {
    options.file.as_deref().and_then(|path| names::absolute(path).ok())
}

fn file_info(file: &File) -> Result<BY_HANDLE_FILE_INFORMATION> {
    let mut of = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open for as long as it is borrowed, and the out pointer is valid.
    if unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut of) } == 0 {
        return Err(last());
    }
    Ok(of)
}

pub(super) fn length(file: &File) -> Result<u64> {
    let of = file_info(file)?;
    Ok(u64::from(of.nFileSizeHigh) << 32 | u64::from(of.nFileSizeLow))
}

/// Returns the bytes of disk that the file takes: fewer than its length if it is sparse or
/// compressed.
fn allocation(file: &File) -> Result<u64> {
    let mut of = FILE_STANDARD_INFO::default();
    // SAFETY: the handle is open for as long as `file` is borrowed. The structure is the one that
    // this class of information has, has as many bytes as the length says, and is written before the
    // call returns.
    let done = unsafe {
        GetFileInformationByHandleEx(
            file.as_raw_handle(),
            FileStandardInfo,
            (&raw mut of).cast(),
            size_of::<FILE_STANDARD_INFO>() as u32,
        )
    };
    if done == 0 { Err(last()) } else { Ok(u64::try_from(of.AllocationSize).unwrap_or_default()) }
}

fn volume(of: BY_HANDLE_FILE_INFORMATION) -> u32 {
    of.dwVolumeSerialNumber
}

fn close(handle: OwnedHandle) -> Result<()> {
    // SAFETY: the handle was owned by the argument alone, which no longer closes it.
    if unsafe { CloseHandle(handle.into_raw_handle()) } == 0 { Err(last()) } else { Ok(()) }
}

/// Returns the `PAGE_` and `SEC_` constants for the options. `grows` is set for a section in the
/// page file that is committed bit by bit.
fn protect(options: &SectionOptions, grows: bool) -> u32 {
    let page = match options.protection {
        Protection::ReadOnly => PAGE_READONLY,
        Protection::ReadWrite => PAGE_READWRITE,
        Protection::WriteCopy => PAGE_WRITECOPY,
        Protection::ExecuteRead => PAGE_EXECUTE_READ,
        Protection::ExecuteReadWrite => PAGE_EXECUTE_READWRITE,
        Protection::ExecuteWriteCopy => PAGE_EXECUTE_WRITECOPY,
    };
    let table = [
        (SectionFlags::COMMIT, SEC_COMMIT),
        (SectionFlags::RESERVE, SEC_RESERVE),
        (SectionFlags::IMAGE, SEC_IMAGE),
        (SectionFlags::NO_CACHE, SEC_NOCACHE),
        (SectionFlags::WRITE_COMBINE, SEC_WRITECOMBINE),
        (SectionFlags::LARGE_PAGES, SEC_LARGE_PAGES),
    ];
    let asked = table.iter().filter(|(flag, _)| options.flags.contains(*flag));
    let flags = asked.fold(0, |flags, (_, constant)| flags | constant);
    if grows {
        return page | flags & !SEC_COMMIT | SEC_RESERVE;
    }
    // One of the three is required, and for none Windows assumes committed.
    let kind = flags & (SEC_COMMIT | SEC_RESERVE | SEC_IMAGE);
    page | flags | if kind == 0 { SEC_COMMIT } else { 0 }
}

/// Returns the rights to the section's handle that views of this protection need.
fn rights(protection: Protection) -> u32 {
    let write = if protection.writable() { FILE_MAP_WRITE } else { 0 };
    // Not FILE_MAP_EXECUTE, which is another bit. The Win32 layer of Windows turns it into this
    // one; that of Wine does not.
    let execute = if protection.executable() { SECTION_MAP_EXECUTE } else { 0 };
    FILE_MAP_READ | write | execute
}

/// Creates a section object over `file`, as long as the file, or over the page file. Returns
/// whether an object of this name existed; then Windows has ignored size, protection and
/// descriptor.
pub(super) fn make(
    file: Option<&File>,
    name: Option<&str>,
    size: u64,
    options: &SectionOptions,
) -> Result<(OwnedHandle, bool)> {
    let most = options.max_size.map_or(size, |most| most.max(size));
    let (size, grows) = if file.is_some() { (size, false) } else { (most, most > size) };
    check(options, file.is_some(), size)?;
    let private = Private::new()?;
    let attributes = private.attributes(options.inherit);
    let name = name.map(Wide::new).transpose()?;
    let size = if file.is_some() { 0 } else { size };
    let file = file.map_or(INVALID_HANDLE_VALUE, AsRawHandle::as_raw_handle);
    // SAFETY: the call only sets the thread's last error, which afterwards shows whether there was
    // one.
    unsafe { SetLastError(0) };
    // SAFETY: the handle is open or the constant for the page file. Attributes and name live until
    // after the call, and the name ends with a zero.
    let section = unsafe {
        CreateFileMappingW(
            file,
            attributes.as_ptr(),
            protect(options, grows),
            (size >> 32) as u32,
            size as u32,
            name.as_ref().map_or(null(), Wide::as_ptr),
        )
    };
    // SAFETY: the call takes no argument.
    let code = unsafe { GetLastError() };
    if section.is_null() {
        return Err(cvt(io::Error::from_raw_os_error(code.cast_signed())));
    }
    // SAFETY: the call returned this handle, and no other value owns it.
    let section = unsafe { OwnedHandle::from_raw_handle(section) };
    Ok((section, code == ERROR_ALREADY_EXISTS))
}

/// Refuses options that contradict each other, with a better reason than Windows gives.
pub(super) fn check(options: &SectionOptions, file: bool, size: u64) -> Result<()> {
    let refuse = |kind, detail: String| Err(Error::new(kind, "", "").detail(detail));
    // Windows uses signed sizes; Wine rounds the greatest numbers up to 0.
    if size > i64::MAX.cast_unsigned() {
        return refuse(ErrorKind::TooLarge, format!("{size} bytes; use less than 2^63"));
    }
    if options.flags.contains(SectionFlags::IMAGE) && options.protection.writable() {
        let detail = "an executable image is for reading; set Protection::ReadOnly";
        return refuse(ErrorKind::InvalidArgument, detail.into());
    }
    if options.flags.contains(SectionFlags::IMAGE) && !file {
        let detail = "an executable image is a file; give its path";
        return refuse(ErrorKind::InvalidArgument, detail.into());
    }
    if !options.flags.contains(SectionFlags::LARGE_PAGES) {
        return Ok(());
    }
    // SAFETY: the call takes no argument.
    let page = unsafe { GetLargePageMinimum() } as u64;
    if page == 0 {
        return refuse(ErrorKind::Unsupported, "this processor has no large pages".into());
    }
    if file {
        let detail = "a file cannot have large pages; leave out the file or the flag";
        return refuse(ErrorKind::InvalidArgument, detail.into());
    }
    if !size.is_multiple_of(page) {
        let detail = format!("size {size}; large pages take a multiple of {page} bytes");
        return refuse(ErrorKind::InvalidArgument, detail);
    }
    Ok(())
}

/// Opens the section object `name`. A section of this crate grants queries of its size and owner;
/// one of another program may grant neither.
pub(super) fn open(name: &str, native: bool, options: &SectionOptions) -> Result<OwnedHandle> {
    let name = Wide::new(name)?;
    let rights = rights(options.protection);
    let attempt = |rights: u32| {
        // SAFETY: the name lives until after the call and ends with a zero.
        let section = unsafe { OpenFileMappingW(rights, options.inherit.into(), name.as_ptr()) };
        if section.is_null() {
            return Err(last());
        }
        // SAFETY: the call returned this handle, and no other value owns it.
        Ok(unsafe { OwnedHandle::from_raw_handle(section) })
    };
    match attempt(rights | SECTION_QUERY | READ_CONTROL) {
        Err(error) if native && error.kind() == ErrorKind::PermissionDenied => {
            attempt(rights | SECTION_QUERY).or_else(|_| attempt(rights))
        }
        result => result,
    }
}

/// The result of `NtQuerySection`, class 0. It is not in windows-sys; unchanged since Windows NT.
#[repr(C)]
struct SectionBasicInformation {
    base: *mut c_void,
    attributes: u32,
    size: i64,
}

#[cfg_attr(
    not(target_arch = "x86"),
    link(name = "ntdll.dll", kind = "raw-dylib", modifiers = "+verbatim")
)]
#[cfg_attr(
    target_arch = "x86",
    link(
        name = "ntdll.dll",
        kind = "raw-dylib",
        modifiers = "+verbatim",
        import_name_type = "undecorated"
    )
)]
unsafe extern "system" {
    fn NtQuerySection(
        section: HANDLE,
        class: i32,
        information: *mut c_void,
        len: usize,
        returned_len: *mut usize,
    ) -> NTSTATUS;
}

/// Returns the size and the `SEC_` attributes. The size is exact for a file, and rounded up to a
/// page for memory in the page file.
fn query(section: &OwnedHandle) -> Result<(u64, u32)> {
    let mut of = SectionBasicInformation { base: null_mut(), attributes: 0, size: 0 };
    // SAFETY: the handle is open for as long as it is borrowed. The out pointer leads to as many
    // bytes as the length says, and the pointer for the returned length may be null.
    let code = unsafe {
        NtQuerySection(
            section.as_raw_handle(),
            0,
            (&raw mut of).cast(),
            size_of::<SectionBasicInformation>(),
            null_mut(),
        )
    };
    if code >= 0
        && let Ok(size) = u64::try_from(of.size)
    {
        return Ok((size, of.attributes));
    }
    // A section of another program may deny the query, which needs SECTION_QUERY. A view of the
    // whole section shows the size too, in whole pages.
    let asked = status(code);
    pages::size_by_view(section.as_handle()).map(|size| (size, 0)).map_err(|_| asked)
}
