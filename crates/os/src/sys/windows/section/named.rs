//! Named and anonymous sections.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    super::{
        cvt::{last, on_a_name},
        names::{self, Wide},
        security::{self, Private},
        wait::{self, Waited},
    },
    handle::{self, Pages, Section},
};
use crate::{
    error::{Error, ErrorKind, Result},
    name::Name,
    options::{SectionFlags, SectionOptions},
    spec::{How, Origin},
};
use std::{
    marker::PhantomData,
    os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle},
    time::Duration,
};
use windows_sys::Win32::System::Threading::{CreateMutexW, ReleaseMutex};

/// The type of `fill` in the contract.
pub(super) type Fill<'a> = dyn FnMut(Section) -> Result<()> + 'a;

/// Creates a section in the page file without a name.
pub(crate) fn anonymous(
    options: &SectionOptions,
    size: u64,
    fill: &mut Fill<'_>,
) -> Result<Section> {
    // Even without a name the section has a descriptor. Without one, a process that was given a
    // read-only handle could duplicate it for writing.
    let (object, _) = handle::make(None, None, size, options)?;
    let section = Section::new(object, None, true, options)?;
    fill(section.duplicate()?)?;
    Ok(section)
}

/// Finds or creates a section in the page file by its name.
pub(crate) fn obtain(
    options: &SectionOptions,
    name: &Name,
    how: How,
    fill: &mut Fill<'_>,
) -> Result<(Section, Origin)> {
    let object = names::object(name);
    let size = match (how, options.size) {
        (How::Create | How::OpenOrCreate, Some(size)) => size,
        (How::Open, _) => return open(options, name).map(|section| (section, Origin::Opened)),
        (_, None) => return open(options, name).map_err(no_size).map(|s| (s, Origin::Opened)),
    };
    let _alone = InitMutex::take(name, options.timeout)?;
    let (handle, existed) = handle::make(None, Some(&object), size, options)
        .map_err(|error| on_a_name(&object, true, error))?;
    if !existed {
        let section = Section::new(handle, None, true, options)?;
        // If `fill` fails, the name goes with the last handle, which is this one.
        fill(section.duplicate()?)?;
        return Ok((section, Origin::Created));
    }
    if how == How::Create {
        return Err(exists());
    }
    found(options, name, handle).map(|section| (section, Origin::Opened))
}

pub(super) fn exists() -> Error {
    Error::new(ErrorKind::AlreadyExists, "", "")
        .detail("there is one already; open it, or choose another name")
}

pub(super) fn no_size(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::new(ErrorKind::InvalidArgument, "", "")
            .detail("there is none, and no size to make it with; give a size"),
        _ => error,
    }
}

fn open(options: &SectionOptions, name: &Name) -> Result<Section> {
    let object = names::object(name);
    let handle = handle::open(&object, name.is_native(), options)
        .map_err(|error| on_a_name(&object, false, error))?;
    found(options, name, handle)
}

/// Checks the owner, kind and size of an existing section.
fn found(options: &SectionOptions, name: &Name, handle: OwnedHandle) -> Result<Section> {
    let native = name.is_native();
    if !native {
        check_owner(&handle)?;
    }
    let section = Section::new(handle, None, false, options)?;
    if section.pages == Pages::Image && !native && !options.flags.contains(SectionFlags::IMAGE) {
        return Err(Error::new(ErrorKind::NameTaken, "", "")
            .detail("an executable image has the name; choose another name"));
    }
    check_size(&section, options)?;
    Ok(section)
}

pub(super) fn check_owner(object: &OwnedHandle) -> Result<()> {
    if security::is_ours(object.as_handle())? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::ForeignOwner, "", "").detail(
        "another user made it, so nothing in it is trusted; choose another name, or open it by \
         Name::native if you trust that user",
    ))
}

pub(super) fn check_size(section: &Section, options: &SectionOptions) -> Result<()> {
    match options.size {
        Some(asked) if section.size < asked => {
            Err(Error::new(ErrorKind::TooLarge, "", "").detail(format!(
                "it has {} bytes, and {asked} were requested; use a smaller size, or create \
                 another",
                section.size
            )))
        }
        _ => Ok(()),
    }
}

/// The mutex `<name>.init`, held: no other process creates or fills the section in the meantime.
/// The mutex belongs to this thread.
pub(crate) struct InitMutex {
    mutex: OwnedHandle,
    _thread: PhantomData<*const ()>,
}

impl InitMutex {
    pub(crate) fn take(name: &Name, timeout: Duration) -> Result<Self> {
        let object = names::object(&name.with_suffix(".init"));
        let wide = Wide::new(&object)?;
        let private = Private::new()?;
        let attributes = private.attributes(false);
        // SAFETY: attributes and name live until after the call, and the name ends with a zero.
        let mutex = unsafe { CreateMutexW(attributes.as_ptr(), 0, wide.as_ptr()) };
        if mutex.is_null() {
            return Err(on_a_name(&object, false, last()));
        }
        // SAFETY: the call returned this handle, and no other value owns it.
        let mutex = unsafe { OwnedHandle::from_raw_handle(mutex) };
        // With the mutex of another user, that user could make this call wait for ever.
        if !name.is_native() {
            check_owner(&mutex)?;
        }
        // Abandoned is as good as free: the section of the dead creator has died with it, or bears
        // no mark that it is ready.
        match wait::for_object(mutex.as_handle(), timeout)? {
            Waited::Got | Waited::Abandoned => Ok(Self { mutex, _thread: PhantomData }),
            Waited::TimedOut => Err(Error::new(ErrorKind::TimedOut, "", "").detail(
                "another process has been making it for longer than the timeout; end that process \
                 if it hangs, or allow more time",
            )),
        }
    }
}

impl Drop for InitMutex {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and this thread holds the mutex: the type is not `Send`.
        unsafe { ReleaseMutex(self.mutex.as_raw_handle()) };
    }
}
