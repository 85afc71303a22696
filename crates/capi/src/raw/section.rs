//! Raw sections: the system's shared memory, without variables.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::{
    base::{
        border::{self, wanted},
        errors::{refused, run_call},
        handles::{close, make, with},
        settings::Settings,
        types::{mapvar_section, mapvar_section_options},
    },
    maps::options::scope,
};
use mapvar::{
    ErrorKind, Origin, Result,
    section::{Name, Protection, Section, SectionFlags, SectionOptions},
};
use std::mem::MaybeUninit;
use std::{ffi::c_char, time::Duration};

/// PAGE_READONLY: views can read, or write to a private copy.
pub const MAPVAR_PROTECTION_READ_ONLY: u32 = 0;
/// PAGE_READWRITE; the default.
pub const MAPVAR_PROTECTION_READ_WRITE: u32 = 1;
/// PAGE_WRITECOPY: the same rights as read only.
pub const MAPVAR_PROTECTION_WRITE_COPY: u32 = 2;
/// PAGE_EXECUTE_READ.
pub const MAPVAR_PROTECTION_EXECUTE_READ: u32 = 3;
/// PAGE_EXECUTE_READWRITE.
pub const MAPVAR_PROTECTION_EXECUTE_READ_WRITE: u32 = 4;
/// PAGE_EXECUTE_WRITECOPY.
pub const MAPVAR_PROTECTION_EXECUTE_WRITE_COPY: u32 = 5;

/// SEC_COMMIT: memory is committed from the start; the default.
pub const MAPVAR_SECTION_COMMIT: u32 = 1;
/// SEC_RESERVE: reserves address space only; memory is committed later.
pub const MAPVAR_SECTION_RESERVE: u32 = 2;
/// SEC_IMAGE: the file is an executable image. Windows only.
pub const MAPVAR_SECTION_IMAGE: u32 = 4;
/// SEC_NOCACHE: uncached pages. Windows only.
pub const MAPVAR_SECTION_NO_CACHE: u32 = 8;
/// SEC_LARGE_PAGES: large pages.
pub const MAPVAR_SECTION_LARGE_PAGES: u32 = 16;
/// SEC_WRITECOMBINE: write-combined pages. Windows only.
pub const MAPVAR_SECTION_WRITE_COMBINE: u32 = 32;

/// Creates new options.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_new(
    out: Option<&mut MaybeUninit<*mut mapvar_section_options>>,
) -> i32 {
    run_call("mapvar_section_options_new", || {
        make("out", out, || Ok(Settings::new(Section::options())))
    })
}

/// Frees options; the sections opened by them stay open. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_free(options: *mut mapvar_section_options) -> i32 {
    run_call("mapvar_section_options_free", || close(options).map(drop))
}

fn change(
    options: *mut mapvar_section_options,
    change: impl FnMut(SectionOptions) -> SectionOptions,
) -> Result<()> {
    with(options, |options| {
        options.change(change);
        Ok(())
    })
}

/// Selects the name by which other processes open the section, 1 to 120 characters of A-Z a-z 0-9 .
/// _ -, in a scope, MAPVAR_SCOPE_…. MAPVAR_INVALID_NAME reports which rule the name breaks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_section_options_name(
    options: *mut mapvar_section_options,
    name: *const c_char,
    name_len: usize,
    scope: u32,
) -> i32 {
    run_call("mapvar_section_options_name", || {
        // SAFETY: C1 for `name`.
        let name = unsafe { border::name(name, name_len) }?;
        let name = Name::scoped(name, self::scope(scope)?)?;
        change(options, |options| options.name(name.clone()))
    })
}

/// Selects exactly this name of the operating system, for objects that other programs created.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_section_options_native_name(
    options: *mut mapvar_section_options,
    name: *const c_char,
    name_len: usize,
) -> i32 {
    run_call("mapvar_section_options_native_name", || {
        // SAFETY: C1 for `name`.
        let name = Name::native(unsafe { border::name(name, name_len) }?)?;
        change(options, |options| options.name(name.clone()))
    })
}

/// Selects the file behind the section; the path is UTF-8 on every system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_section_options_file(
    options: *mut mapvar_section_options,
    path: *const c_char,
    path_len: usize,
) -> i32 {
    run_call("mapvar_section_options_file", || {
        // SAFETY: C1 for `path`.
        let path = unsafe { border::text("path", path, path_len) }?;
        change(options, |options| options.file(path))
    })
}

/// Sets the size in bytes. Creating needs it; for opening it is the smallest acceptable size.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_size(
    options: *mut mapvar_section_options,
    bytes: u64,
) -> i32 {
    run_call("mapvar_section_options_size", || change(options, |it| it.size(bytes)))
}

/// Sets the size in bytes that a section without a file may grow to.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_max_size(
    options: *mut mapvar_section_options,
    bytes: u64,
) -> i32 {
    run_call("mapvar_section_options_max_size", || change(options, |it| it.max_size(bytes)))
}

/// Sets the most that views may do, MAPVAR_PROTECTION_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_protection(
    options: *mut mapvar_section_options,
    protection: u32,
) -> i32 {
    run_call("mapvar_section_options_protection", || {
        let protection = protection_of(protection)?;
        change(options, |options| options.protection(protection))
    })
}

pub(crate) fn protection_of(protection: u32) -> Result<Protection> {
    Ok(match protection {
        MAPVAR_PROTECTION_READ_ONLY => Protection::ReadOnly,
        MAPVAR_PROTECTION_READ_WRITE => Protection::ReadWrite,
        MAPVAR_PROTECTION_WRITE_COPY => Protection::WriteCopy,
        MAPVAR_PROTECTION_EXECUTE_READ => Protection::ExecuteRead,
        MAPVAR_PROTECTION_EXECUTE_READ_WRITE => Protection::ExecuteReadWrite,
        MAPVAR_PROTECTION_EXECUTE_WRITE_COPY => Protection::ExecuteWriteCopy,
        _ => {
            let detail = format!("{protection} is none; use one of MAPVAR_PROTECTION_…");
            return Err(refused(ErrorKind::InvalidArgument, "protection", detail));
        }
    })
}

/// Sets MAPVAR_SECTION_… flags, added together.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_flags(
    options: *mut mapvar_section_options,
    flags: u32,
) -> i32 {
    run_call("mapvar_section_options_flags", || {
        let flags = flags_of(flags)?;
        change(options, |options| options.flags(flags))
    })
}

pub(crate) fn flags_of(flags: u32) -> Result<SectionFlags> {
    let known = [
        (MAPVAR_SECTION_COMMIT, SectionFlags::COMMIT),
        (MAPVAR_SECTION_RESERVE, SectionFlags::RESERVE),
        (MAPVAR_SECTION_IMAGE, SectionFlags::IMAGE),
        (MAPVAR_SECTION_NO_CACHE, SectionFlags::NO_CACHE),
        (MAPVAR_SECTION_LARGE_PAGES, SectionFlags::LARGE_PAGES),
        (MAPVAR_SECTION_WRITE_COMBINE, SectionFlags::WRITE_COMBINE),
    ];
    let mut left = flags;
    let mut set = SectionFlags::default();
    for (number, flag) in known {
        if flags & number != 0 {
            set = set | flag;
            left &= !number;
        }
    }
    if left != 0 {
        let detail = format!("{left:#x} is none; use MAPVAR_SECTION_…");
        return Err(refused(ErrorKind::InvalidArgument, "flags", detail));
    }
    Ok(set)
}

/// Not 0: child processes inherit the handle.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_inherit(
    options: *mut mapvar_section_options,
    inherit: i32,
) -> i32 {
    run_call("mapvar_section_options_inherit", || change(options, |it| it.inherit(inherit != 0)))
}

/// Not 0: allows a file on a network drive.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_allow_network(
    options: *mut mapvar_section_options,
    allow: i32,
) -> i32 {
    run_call("mapvar_section_options_allow_network", || {
        change(options, |it| it.allow_network(allow != 0))
    })
}

/// Sets the longest time in milliseconds to wait while another process creates or removes the
/// object; 5,000 by default.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_timeout(
    options: *mut mapvar_section_options,
    milliseconds: u64,
) -> i32 {
    let timeout = Duration::from_millis(milliseconds);
    run_call("mapvar_section_options_timeout", || change(options, |it| it.timeout(timeout)))
}

fn obtain(
    options: *mut mapvar_section_options,
    out: Option<&mut MaybeUninit<*mut mapvar_section>>,
    how: impl FnOnce(&SectionOptions) -> Result<Section>,
) -> Result<()> {
    make("out", out, || how(&*with(options, |options| Ok(options.now()))?))
}

/// Creates the section; it must not exist. Its bytes are 0.
/// Errors: those of mapvar_options_create, and MAPVAR_UNSUPPORTED.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_create(
    options: *mut mapvar_section_options,
    out: Option<&mut MaybeUninit<*mut mapvar_section>>,
) -> i32 {
    run_call("mapvar_section_options_create", || obtain(options, out, SectionOptions::create))
}

/// Opens the section; it must exist.
/// Errors: MAPVAR_NOT_FOUND, MAPVAR_FOREIGN_OWNER, MAPVAR_TOO_LARGE if it is smaller than the
/// requested size, and those of creating.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_open(
    options: *mut mapvar_section_options,
    out: Option<&mut MaybeUninit<*mut mapvar_section>>,
) -> i32 {
    run_call("mapvar_section_options_open", || obtain(options, out, SectionOptions::open))
}

/// Opens the section, or creates it if it does not exist.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_options_open_or_create(
    options: *mut mapvar_section_options,
    out: Option<&mut MaybeUninit<*mut mapvar_section>>,
) -> i32 {
    run_call("mapvar_section_options_open_or_create", || {
        obtain(options, out, SectionOptions::open_or_create)
    })
}

/// Closes the handle; existing views keep the section open. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_close(section: *mut mapvar_section) -> i32 {
    run_call("mapvar_section_close", || match close(section)? {
        Some(section) => section.close(),
        None => Ok(()),
    })
}

/// Reports 1 if the call that opened the section created it, 0 if the section existed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_was_created(
    section: *mut mapvar_section,
    created: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_section_was_created", || {
        let created = wanted("created", created)?;
        with(section, |section| {
            created.write((section.origin() == Origin::Created).into());
            Ok(())
        })
    })
}

/// Reports the present size in bytes. For a section without a file on Windows this is rounded up to
/// a page, or is the size that it may grow to.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_size(
    section: *mut mapvar_section,
    bytes: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_section_size", || {
        let bytes = wanted("bytes", bytes)?;
        with(section, |section| {
            bytes.write(section.size()?);
            Ok(())
        })
    })
}

/// Makes the section at least `bytes` long, for every process; it never shrinks. Existing views
/// keep their length.
/// Errors: MAPVAR_NO_SPACE, MAPVAR_TOO_LARGE, MAPVAR_READ_ONLY, MAPVAR_TIMED_OUT,
/// MAPVAR_UNSUPPORTED.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_section_grow(section: *mut mapvar_section, bytes: u64) -> i32 {
    run_call("mapvar_section_grow", || with(section, |section| section.grow(bytes)))
}
