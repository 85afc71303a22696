//! Maps in the layout of Ruby's gem win32-mmap.
#![allow(unsafe_code, reason = "the border: what C hands over, and the names that it calls")]

use crate::{
    base::{
        border::{self, offer, wanted},
        errors::{answer, refused},
        handles::{close, locked, make, make_if_any, with},
        types::{mapvar_clobbered, mapvar_lock_stat, mapvar_map, mapvar_options},
    },
    maps::{options::change, walk::lend},
    raw::{
        section::{flags_of, protection_of},
        view::access_of,
    },
};
use mapvar::{ErrorKind, Format, LockStat, Map, OnClobber, Result, Unlocked};
use std::{
    ffi::{c_char, c_void},
    mem::MaybeUninit,
    time::Duration,
};

/// A layout of our own: lock-free reads, growth, transactions, durable flushes.
pub const MAPVAR_FORMAT_STORE: u32 = 0;
/// The layout of Ruby's gem win32-mmap, to share variables with programs that use it. Variables can be
/// set, read, removed, walked over, and set by their version; handles of variables, atomics and
/// transactions answer MAPVAR_UNSUPPORTED. Every call takes the gem's lock and may wait for it.
pub const MAPVAR_FORMAT_MARSHAL: u32 = 1;

/// What a gem erases stays so.
pub const MAPVAR_CLOBBER_ACCEPT: u32 = 0;
/// Each is put back by this map's next write, and told by mapvar_map_clobbered. What another process
/// removes on purpose looks the same.
pub const MAPVAR_CLOBBER_REASSERT: u32 = 1;
/// The next call on variables does nothing and answers MAPVAR_REMOVED, once, with their names; told by
/// mapvar_map_clobbered as well.
pub const MAPVAR_CLOBBER_ERROR: u32 = 2;

/// How often the lock was taken.
pub const MAPVAR_LOCK_STAT_TAKEN: u32 = 1;
/// How often its last holder was found to be gone.
pub const MAPVAR_LOCK_STAT_RECOVERED: u32 = 2;
/// How often somebody else gave it back while it was held here, as a gem's close does.
pub const MAPVAR_LOCK_STAT_BROKEN: u32 = 3;
/// Nanoseconds: half of the times for which it was held were no longer.
pub const MAPVAR_LOCK_STAT_MEDIAN: u32 = 4;
/// Nanoseconds: 99 of 100 were no longer.
pub const MAPVAR_LOCK_STAT_P99: u32 = 5;
/// Nanoseconds: the longest.
pub const MAPVAR_LOCK_STAT_LONGEST: u32 = 6;

/// How the variables lie in the memory: MAPVAR_FORMAT_STORE or MAPVAR_FORMAT_MARSHAL. A new map is of the
/// first unless set; one that is there is recognised (a gem's, where a Hash lies in it). Of a gem's map
/// mapvar_options_size is exactly the bytes of the section, and the timeout 1,000 ms unless set.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_format(options: *mut mapvar_options, format: u32) -> i32 {
    answer("mapvar_options_format", || {
        let format = match format {
            MAPVAR_FORMAT_STORE => Format::Store,
            MAPVAR_FORMAT_MARSHAL => Format::Marshal,
            _ => return Err(none("format", format, "MAPVAR_FORMAT_…")),
        };
        change(options, |options| options.format(format))
    })
}

/// What to do when a gem erases variables that this map has set, as each of a gem's writes does with those
/// that it does not know: one of MAPVAR_CLOBBER_…; MAPVAR_CLOBBER_ACCEPT unless set.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_on_clobber(options: *mut mapvar_options, on_clobber: u32) -> i32 {
    answer("mapvar_options_on_clobber", || {
        let on_clobber = match on_clobber {
            MAPVAR_CLOBBER_ACCEPT => OnClobber::Accept,
            MAPVAR_CLOBBER_REASSERT => OnClobber::Reassert,
            MAPVAR_CLOBBER_ERROR => OnClobber::Error,
            _ => return Err(none("on_clobber", on_clobber, "MAPVAR_CLOBBER_…")),
        };
        change(options, |options| options.on_clobber(on_clobber))
    })
}

/// The protection of a gem's section, MAPVAR_PROTECTION_…: read and write unless set, or read only with
/// mapvar_options_read_only. One that cannot be written to opens for reading alone, unless the access is
/// MAPVAR_ACCESS_COPY_ON_WRITE. A map of another format answers MAPVAR_UNSUPPORTED when it is opened with this,
/// or one of the five below.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_protection(options: *mut mapvar_options, protection: u32) -> i32 {
    answer("mapvar_options_protection", || {
        let protection = protection_of(protection)?;
        change(options, |options| options.protection(protection))
    })
}

/// MAPVAR_SECTION_… flags of a gem's section, added together.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_flags(options: *mut mapvar_options, flags: u32) -> i32 {
    answer("mapvar_options_flags", || {
        let flags = flags_of(flags)?;
        change(options, |options| options.flags(flags))
    })
}

/// Not 0: child processes inherit the handle of a gem's section.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_inherit(options: *mut mapvar_options, inherit: i32) -> i32 {
    answer("mapvar_options_inherit", || change(options, |it| it.inherit(inherit != 0)))
}

/// What this process does with the memory of a gem's map, MAPVAR_ACCESS_…. With MAPVAR_ACCESS_COPY_ON_WRITE
/// nobody else sees what it sets, and it is lost when the map is closed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_access(options: *mut mapvar_options, access: u32) -> i32 {
    answer("mapvar_options_access", || {
        let access = access_of(access)?;
        change(options, |options| options.access(access))
    })
}

/// Not 0: this process may run code in the memory of a gem's map; the protection must allow it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_execute(options: *mut mapvar_options, execute: i32) -> i32 {
    answer("mapvar_options_execute", || change(options, |it| it.execute(execute != 0)))
}

/// Where to map a gem's map, a multiple of the system's granularity (64 KiB on Windows, else a page); 0 =
/// anywhere. There or nowhere.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_base_address(options: *mut mapvar_options, address: usize) -> i32 {
    answer("mapvar_options_base_address", || change(options, |it| it.base_address(address)))
}

/// Frees the lock of a gem's map whose holder is gone; calls on the map do so by themselves, where they can
/// tell. `force`, not 0: also where a living program may hold it, as a gem does for ever after an
/// exception. `freed` (may be NULL) is 1 where it was held, 0 where nobody held it. Waits up to a second.
/// Errors: MAPVAR_TIMED_OUT where a living program may hold it; MAPVAR_NOT_FOUND.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_unlock(
    options: *mut mapvar_options,
    force: i32,
    freed: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    answer("mapvar_options_unlock", || {
        let options = with(options, |options| Ok(locked(options).clone()))?;
        let found = options.unlock(force != 0)?;
        offer(freed, (found == Unlocked::Freed).into());
        Ok(())
    })
}

/// How the variables of this map lie in the memory: one of MAPVAR_FORMAT_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_format(
    map: *mut mapvar_map,
    format: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    answer("mapvar_map_format", || {
        let out = wanted("format", format)?;
        with(map, |map| {
            out.write(match map.format() {
                Format::Store => MAPVAR_FORMAT_STORE,
                Format::Marshal => MAPVAR_FORMAT_MARSHAL,
                other => {
                    let detail = format!("{other:?} has no number here; update the library");
                    return Err(refused(ErrorKind::Unsupported, "mapvar_map", detail));
                }
            });
            Ok(())
        })
    })
}

/// Where the memory of a gem's map begins in this process, for those who hand it to foreign code: others
/// change it, and it is gone when the last handle is closed. MAPVAR_UNSUPPORTED for a map of another format.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_address(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut c_void>>,
) -> i32 {
    answer("mapvar_map_address", || {
        let out = wanted("out", out)?;
        with(map, |map| {
            let none = "only a gem's map is one piece of memory; raw bytes have a section";
            let address = map.address();
            let address =
                address.ok_or_else(|| refused(ErrorKind::Unsupported, "mapvar_map", none))?;
            out.write(std::ptr::without_provenance_mut(address));
            Ok(())
        })
    })
}

/// What a gem has erased of what this map has set, where it was opened with MAPVAR_CLOBBER_REASSERT or
/// MAPVAR_CLOBBER_ERROR: seen by calls on variables, and told once. A new handle, to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_clobbered(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_clobbered>>,
) -> i32 {
    answer("mapvar_map_clobbered", || make(out, || with(map, |map| Ok(map.clobbered()))))
}

/// How often a variable of the map was seen to be erased since it was opened (`total`), and how many names
/// there are here: those since the last mapvar_map_clobbered, the last 1,024 of them. Each may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_clobbered_count(
    clobbered: *mut mapvar_clobbered,
    total: Option<&mut MaybeUninit<u64>>,
    names: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_clobbered_count", || {
        with(clobbered, |clobbered| {
            offer(total, clobbered.count);
            offer(names, clobbered.names.len());
            Ok(())
        })
    })
}

/// The name at `index`, from 0 on, in the order in which the erases were seen: UTF-8 without a NUL; it
/// lives until the handle is freed. MAPVAR_OUT_OF_RANGE beyond the last.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_clobbered_name(
    clobbered: *mut mapvar_clobbered,
    index: usize,
    name: Option<&mut MaybeUninit<*const c_char>>,
    name_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    answer("mapvar_clobbered_name", || {
        let (name, len) = (wanted("name", name)?, wanted("name_len", name_len)?);
        with(clobbered, |clobbered| {
            let beyond = || format!("{index} is beyond the last; mapvar_clobbered_count tells");
            let found = clobbered.names.get(index);
            let found = found.ok_or_else(|| refused(ErrorKind::OutOfRange, "index", beyond()))?;
            lend(found, name, len);
            Ok(())
        })
    })
}

/// Frees it, and with it its names. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_clobbered_free(clobbered: *mut mapvar_clobbered) -> i32 {
    answer("mapvar_clobbered_free", || close(clobbered).map(drop))
}

/// How the lock of a gem's map went, for this handle and its duplicates: a new handle, to be freed; NULL,
/// and no error, for a map of another format, which has no such lock.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_lock_stat(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_lock_stat>>,
) -> i32 {
    answer("mapvar_map_lock_stat", || make_if_any(out, || with(map, |map| Ok(map.lock_stat()))))
}

/// One of the figures: `which` is one of MAPVAR_LOCK_STAT_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_stat_get(
    stat: *mut mapvar_lock_stat,
    which: u32,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    answer("mapvar_lock_stat_get", || {
        let out = wanted("out", out)?;
        with(stat, |stat| {
            out.write(figure(stat, which)?);
            Ok(())
        })
    })
}

fn figure(stat: &LockStat, which: u32) -> Result<u64> {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Ok(match which {
        MAPVAR_LOCK_STAT_TAKEN => stat.taken,
        MAPVAR_LOCK_STAT_RECOVERED => stat.recovered,
        MAPVAR_LOCK_STAT_BROKEN => stat.broken,
        MAPVAR_LOCK_STAT_MEDIAN => nanoseconds(stat.median),
        MAPVAR_LOCK_STAT_P99 => nanoseconds(stat.p99),
        MAPVAR_LOCK_STAT_LONGEST => nanoseconds(stat.longest),
        _ => return Err(none("which", which, "MAPVAR_LOCK_STAT_…")),
    })
}

/// Frees figures. NULL is well.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_stat_free(stat: *mut mapvar_lock_stat) -> i32 {
    answer("mapvar_lock_stat_free", || close(stat).map(drop))
}

/// The first `len` bytes of a gem's map as they lie there, variables or not, into a buffer (C3) of as
/// many. May wait for the lock. Errors: MAPVAR_TOO_LARGE beyond the map's end; MAPVAR_TIMED_OUT;
/// MAPVAR_UNSUPPORTED for a map of another format: raw bytes have a section.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_read_string(
    map: *mut mapvar_map,
    into: *mut c_void,
    len: usize,
) -> i32 {
    answer("mapvar_map_read_string", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, len) }?;
        with(map, |map| {
            into.copy_from_slice(&map.read_string(into.len())?);
            Ok(())
        })
    })
}

/// Writes bytes to the start of a gem's map, without a terminator, over its variables. May wait for the
/// lock. Errors: those of mapvar_map_read_string; MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_write_string(
    map: *mut mapvar_map,
    bytes: *const c_void,
    len: usize,
) -> i32 {
    answer("mapvar_map_write_string", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, len) }?;
        with(map, |map: &Map| map.write_string(bytes))
    })
}

fn none(argument: &str, number: u32, instead: &str) -> mapvar::Error {
    refused(ErrorKind::InvalidArgument, argument, format!("{number} is none; use one of {instead}"))
}
