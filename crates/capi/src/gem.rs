//! Maps in the layout of Ruby's gem win32-mmap.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::{
    base::{
        border::{self, offer, wanted},
        errors::{refused, run_call},
        handles::{close, make, make_if_any, with},
        types::{mapvar_clobbered, mapvar_lock_stat, mapvar_map, mapvar_options},
    },
    maps::{
        options::{change, options_of},
        walk::lend,
    },
    raw::{
        section::{flags_of, protection_of},
        view::access_of,
    },
};
use mapvar::{
    ErrorKind, Format, Map, Result,
    gem::{Clobbered, GemMap, LockStat, OnClobber, Unlock, Unlocked},
};
use std::{
    ffi::{c_char, c_void},
    mem::MaybeUninit,
    time::Duration,
};

/// mapvar's own layout: lock-free reads, growth, transactions, durable flushes.
pub const MAPVAR_FORMAT_STORE: u32 = 0;
/// The layout of Ruby's gem win32-mmap, to share variables with programs that use it. Variables can
/// be set, read, removed, walked over, and set by version. Handles of variables, atomics and
/// transactions fail with MAPVAR_UNSUPPORTED. Every call acquires the gem's lock and may wait for
/// it.
pub const MAPVAR_FORMAT_MARSHAL: u32 = 1;

/// Variables that a gem erases stay erased.
pub const MAPVAR_CLOBBER_ACCEPT: u32 = 0;
/// This map's next write restores each erased variable, and mapvar_map_clobbered reports it. A
/// removal on purpose by another process looks the same.
pub const MAPVAR_CLOBBER_REASSERT: u32 = 1;
/// The next call on variables does nothing and fails once with MAPVAR_TAKEN_AWAY, naming the erased
/// variables; mapvar_map_clobbered reports them as well.
pub const MAPVAR_CLOBBER_ERROR: u32 = 2;

/// The lock of a process that is known to be dead.
pub const MAPVAR_UNLOCK_ABANDONED: u32 = 0;
/// On Windows also a lock that a living program may own, as a gem does forever after an exception.
pub const MAPVAR_UNLOCK_ANY: u32 = 1;

/// How often the lock was acquired.
pub const MAPVAR_LOCK_STAT_TAKEN: u32 = 1;
/// How often the lock's last owner was found dead.
pub const MAPVAR_LOCK_STAT_RECOVERED: u32 = 2;
/// How often another process released the lock while it was held here, as a gem's close does.
pub const MAPVAR_LOCK_STAT_BROKEN: u32 = 3;
/// Nanoseconds: half of the hold times were no longer.
pub const MAPVAR_LOCK_STAT_MEDIAN: u32 = 4;
/// Nanoseconds: 99 of 100 hold times were no longer.
pub const MAPVAR_LOCK_STAT_P99: u32 = 5;
/// Nanoseconds: the longest hold time.
pub const MAPVAR_LOCK_STAT_LONGEST: u32 = 6;

/// Sets how the variables are laid out in memory: MAPVAR_FORMAT_STORE or MAPVAR_FORMAT_MARSHAL. By
/// default a new map is a store, and the format of an existing one is detected (a gem's, if it
/// contains a Hash). For a gem's map mapvar_options_size is exactly the bytes of the section, and
/// the default timeout is 1,000 ms.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_format(options: *mut mapvar_options, format: u32) -> i32 {
    run_call("mapvar_options_format", || {
        let format = match format {
            MAPVAR_FORMAT_STORE => Format::Store,
            MAPVAR_FORMAT_MARSHAL => Format::Marshal,
            _ => return Err(none("format", format, "MAPVAR_FORMAT_…")),
        };
        change(options, |options| options.format(format))
    })
}

/// Sets what to do when a gem erases variables that this map has set; each write of a gem erases
/// those that it does not know. One of MAPVAR_CLOBBER_…; the default is MAPVAR_CLOBBER_ACCEPT.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_on_clobber(options: *mut mapvar_options, on_clobber: u32) -> i32 {
    run_call("mapvar_options_on_clobber", || {
        let on_clobber = match on_clobber {
            MAPVAR_CLOBBER_ACCEPT => OnClobber::Accept,
            MAPVAR_CLOBBER_REASSERT => OnClobber::Reassert,
            MAPVAR_CLOBBER_ERROR => OnClobber::Error,
            _ => return Err(none("on_clobber", on_clobber, "MAPVAR_CLOBBER_…")),
        };
        change(options, |options| options.gem(|gem| gem.on_clobber(on_clobber)))
    })
}

/// Sets the protection of a gem's section, MAPVAR_PROTECTION_…. The default is read and write, or
/// read only with mapvar_options_read_only. A section that cannot be written to opens read-only,
/// unless the access is MAPVAR_ACCESS_COPY_ON_WRITE. Opening a map of another format with this
/// option, or one of the five below, fails with MAPVAR_UNSUPPORTED.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_protection(options: *mut mapvar_options, protection: u32) -> i32 {
    run_call("mapvar_options_protection", || {
        let protection = protection_of(protection)?;
        change(options, |options| options.gem(|gem| gem.protection(protection)))
    })
}

/// Sets MAPVAR_SECTION_… flags of a gem's section, added together.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_flags(options: *mut mapvar_options, flags: u32) -> i32 {
    run_call("mapvar_options_flags", || {
        let flags = flags_of(flags)?;
        change(options, |options| options.gem(|gem| gem.flags(flags)))
    })
}

/// Not 0: child processes inherit the handle of a gem's section.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_inherit(options: *mut mapvar_options, inherit: i32) -> i32 {
    run_call("mapvar_options_inherit", || {
        change(options, |it| it.gem(|gem| gem.inherit(inherit != 0)))
    })
}

/// Sets how this process accesses the memory of a gem's map, MAPVAR_ACCESS_…. With
/// MAPVAR_ACCESS_COPY_ON_WRITE no other process sees what this one sets, and it is lost when the
/// map is closed.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_access(options: *mut mapvar_options, access: u32) -> i32 {
    run_call("mapvar_options_access", || {
        let access = access_of(access)?;
        change(options, |options| options.gem(|gem| gem.access(access)))
    })
}

/// Not 0: this process can execute code in the memory of a gem's map; the protection must allow it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_execute(options: *mut mapvar_options, execute: i32) -> i32 {
    run_call("mapvar_options_execute", || {
        change(options, |it| it.gem(|gem| gem.execute(execute != 0)))
    })
}

/// Sets the address of a gem's map, a multiple of the system's granularity (64 KiB on Windows, else
/// a page); 0 = anywhere. If that address is taken, opening fails.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_base_address(options: *mut mapvar_options, address: usize) -> i32 {
    run_call("mapvar_options_base_address", || {
        change(options, |it| it.gem(|gem| gem.base_address(address)))
    })
}

/// Frees the lock of a gem's map whose owner is gone; calls on the map do so by themselves if they
/// can detect it. `whose` is one of MAPVAR_UNLOCK_…. `freed` (may be NULL) is 1 if the lock was
/// held, else 0. Waits for up to a second.
/// Errors: MAPVAR_TIMED_OUT if a living program may own it; MAPVAR_NOT_FOUND.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_options_unlock(
    options: *mut mapvar_options,
    whose: u32,
    freed: Option<&mut MaybeUninit<i32>>,
) -> i32 {
    run_call("mapvar_options_unlock", || {
        let options = options_of(options)?;
        let whose = match whose {
            MAPVAR_UNLOCK_ABANDONED => Unlock::Abandoned,
            MAPVAR_UNLOCK_ANY => Unlock::Any,
            _ => return Err(none("whose", whose, "MAPVAR_UNLOCK_…")),
        };
        let found = options.unlock(whose)?;
        offer(freed, (found == Unlocked::Freed).into());
        Ok(())
    })
}

/// Reports how the variables of this map are laid out: one of MAPVAR_FORMAT_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_format(
    map: *mut mapvar_map,
    format: Option<&mut MaybeUninit<u32>>,
) -> i32 {
    run_call("mapvar_map_format", || {
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

/// Reports where the memory of a gem's map begins in this process, for callers that pass it to
/// foreign code. Other processes change it, and it is unmapped when the last handle is closed.
/// MAPVAR_UNSUPPORTED for a map of another format.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_address(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut c_void>>,
) -> i32 {
    run_call("mapvar_map_address", || {
        let out = wanted("out", out)?;
        with(map, |map| {
            out.write(std::ptr::without_provenance_mut(gem(map)?.address()));
            Ok(())
        })
    })
}

/// Returns the variables of this map that a gem has erased, if the map was opened with
/// MAPVAR_CLOBBER_REASSERT or MAPVAR_CLOBBER_ERROR. Calls on variables detect them, and each is
/// reported once. The result is a new handle; the caller frees it.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_clobbered(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_clobbered>>,
) -> i32 {
    run_call("mapvar_map_clobbered", || {
        make("out", out, || {
            with(map, |map| map.as_gem().map_or(Ok(Clobbered::default()), |gem| gem.clobbered()))
        })
    })
}

/// Reports how often a variable of the map was seen to be erased since it was opened (`total`), and
/// how many names this handle holds: those since the last mapvar_map_clobbered, at most the latest
/// 1,024. Each may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_clobbered_count(
    clobbered: *mut mapvar_clobbered,
    total: Option<&mut MaybeUninit<u64>>,
    names: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_clobbered_count", || {
        with(clobbered, |clobbered| {
            offer(total, clobbered.count);
            offer(names, clobbered.names.len());
            Ok(())
        })
    })
}

/// Reports the name at `index`, from 0 on, in the order in which the erasures were seen: UTF-8
/// without a NUL, valid until the handle is freed. MAPVAR_OUT_OF_RANGE beyond the last.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_clobbered_name(
    clobbered: *mut mapvar_clobbered,
    index: usize,
    name: Option<&mut MaybeUninit<*const c_char>>,
    name_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_clobbered_name", || {
        let (name, len) = (wanted("name", name)?, wanted("name_len", name_len)?);
        with(clobbered, |clobbered| {
            let beyond = || format!("{index} is beyond the last; see mapvar_clobbered_count");
            let found = clobbered.names.get(index);
            let found = found.ok_or_else(|| refused(ErrorKind::OutOfRange, "index", beyond()))?;
            lend(found, name, len);
            Ok(())
        })
    })
}

/// Frees the list and its names. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_clobbered_free(clobbered: *mut mapvar_clobbered) -> i32 {
    run_call("mapvar_clobbered_free", || close(clobbered).map(drop))
}

/// Returns statistics of the lock of a gem's map, for this handle and its duplicates: a new handle;
/// the caller frees it. NULL for a map of another format, which has no such lock; that is not an
/// error.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_map_lock_stat(
    map: *mut mapvar_map,
    out: Option<&mut MaybeUninit<*mut mapvar_lock_stat>>,
) -> i32 {
    run_call("mapvar_map_lock_stat", || {
        make_if_any("out", out, || {
            with(map, |map| map.as_gem().map(|gem| gem.lock_stat()).transpose())
        })
    })
}

/// Reports one of the figures; `which` is one of MAPVAR_LOCK_STAT_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_stat_get(
    stat: *mut mapvar_lock_stat,
    which: u32,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_lock_stat_get", || {
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

/// Frees figures. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_lock_stat_free(stat: *mut mapvar_lock_stat) -> i32 {
    run_call("mapvar_lock_stat_free", || close(stat).map(drop))
}

/// Copies the first `len` bytes of a gem's map, variables or not, into a buffer (C3) of that
/// length. May wait for the lock.
/// Errors: MAPVAR_TOO_LARGE beyond the map's end; MAPVAR_TIMED_OUT; MAPVAR_UNSUPPORTED for a map of
/// another format: use a section for raw bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_read_string(
    map: *mut mapvar_map,
    into: *mut c_void,
    len: usize,
) -> i32 {
    run_call("mapvar_map_read_string", || {
        // SAFETY: C3 for `into`.
        let into = unsafe { border::buffer(into, len) }?;
        with(map, |map| {
            into.copy_from_slice(&gem(map)?.read_string(into.len())?);
            Ok(())
        })
    })
}

/// Writes bytes to the start of a gem's map, without a terminator, over its variables. May wait for
/// the lock.
/// Errors: those of mapvar_map_read_string; MAPVAR_READ_ONLY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mapvar_map_write_string(
    map: *mut mapvar_map,
    bytes: *const c_void,
    len: usize,
) -> i32 {
    run_call("mapvar_map_write_string", || {
        // SAFETY: C1 for `bytes`.
        let bytes = unsafe { border::bytes("bytes", bytes, len) }?;
        with(map, |map: &Map| gem(map)?.write_string(bytes))
    })
}

fn gem(map: &Map) -> Result<GemMap<'_>> {
    map.as_gem().ok_or_else(|| {
        let none = "only a gem's map has bytes of its own, in one piece; use a section";
        refused(ErrorKind::Unsupported, "mapvar_map", none)
    })
}

fn none(argument: &str, number: u32, instead: &str) -> mapvar::Error {
    refused(ErrorKind::InvalidArgument, argument, format!("{number} is none; use one of {instead}"))
}
