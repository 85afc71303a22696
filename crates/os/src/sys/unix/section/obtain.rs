//! Finding or creating a section: by a file, by a name, or without either.

use super::{
    super::{
        error::{cvt, refuse},
        standard::Standard,
    },
    anonymous, file,
    handle::Section,
    names, native,
};
use crate::{
    error::{ErrorKind, Result},
    options::{SectionFlags, SectionOptions},
    spec::{How, Origin},
};

/// See [`crate::sys::Platform::obtain`].
pub(crate) fn obtain(
    options: &SectionOptions,
    how: How,
    fill: &mut dyn FnMut(Section) -> Result<()>,
) -> Result<(Section, Origin)> {
    // An error of `fill` is passed on as it is; the errors of this crate get the object.
    let mut unfilled = None;
    let mut fill = |section| {
        fill(section).map_err(|error| {
            unfilled = Some(error);
            refuse(ErrorKind::Io, "")
        })
    };
    let standard = check_flags(options).and_then(|()| Standard::reserve());
    let obtained = standard.and_then(|_standard| match (&options.file, &options.name) {
        (Some(_), Some(_)) => Err(refuse(
            ErrorKind::Unsupported,
            "a section with both a file and a name is of Windows; give one of them, other processes find a file by its path",
        )),
        (Some(path), None) => file::obtain(path, options, how, &mut fill),
        (None, Some(name)) if name.is_native() => native::obtain(name, options, how, &mut fill),
        (None, Some(name)) => names::obtain(name, options, how, &mut fill),
        (None, None) => anonymous::obtain(options, how, &mut fill),
    });
    let obtained = obtained.and_then(|(section, origin)| {
        if options.inherit {
            rustix::io::fcntl_setfd(section.fd(), rustix::io::FdFlags::empty()).map_err(cvt)?;
        }
        Ok((section, origin))
    });
    obtained.map_err(|error| match unfilled {
        Some(unfilled) => unfilled,
        None => error.during(how.verb(), options.describe()),
    })
}

fn check_flags(options: &SectionOptions) -> Result<()> {
    let has = |flag| options.flags.contains(flag);
    let windows_only = |flag: &str, remedy: &str| {
        Err(refuse(ErrorKind::Unsupported, format!("{flag} is of Windows; {remedy}")))
    };
    if has(SectionFlags::IMAGE) {
        return windows_only("SectionFlags::IMAGE", "map the file without it, or use dlopen");
    }
    if has(SectionFlags::NO_CACHE) {
        return windows_only(
            "SectionFlags::NO_CACHE",
            "leave it out; the processor's caches agree",
        );
    }
    if has(SectionFlags::WRITE_COMBINE) {
        return windows_only("SectionFlags::WRITE_COMBINE", "leave it out");
    }
    if has(SectionFlags::COMMIT | SectionFlags::RESERVE) {
        return Err(refuse(
            ErrorKind::InvalidArgument,
            "SectionFlags::COMMIT and RESERVE contradict each other; give one",
        ));
    }
    if has(SectionFlags::LARGE_PAGES)
        && (!cfg!(target_os = "linux") || options.file.is_some() || options.name.is_some())
    {
        return Err(refuse(
            ErrorKind::Unsupported,
            "large pages are for anonymous sections on Linux here; leave SectionFlags::LARGE_PAGES out",
        ));
    }
    Ok(())
}
