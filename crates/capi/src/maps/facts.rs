//! Facts about a map: figures, check results, salvage results.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::{
    base::{
        border::wanted,
        errors::{refused, run_call},
        handles::{Handle, close, with},
        types::{mapvar_check, mapvar_salvage, mapvar_stat},
    },
    maps::walk::lend,
};
use mapvar::{
    ErrorKind, Result, Stat,
    check::{Check, Salvage, Severity},
};
use std::mem::MaybeUninit;
use std::{ffi::c_char, time::SystemTime};

/// Version of the map's format; 408 for a gem's map, for Marshal 4.8.
pub const MAPVAR_STAT_FORMAT: u32 = 1;
/// Bytes of values that the map was created for.
pub const MAPVAR_STAT_SIZE: u32 = 2;
/// Bytes of the region.
pub const MAPVAR_STAT_REGION: u32 = 3;
/// Bytes taken by variables, including their names and spare slots.
pub const MAPVAR_STAT_USED: u32 = 4;
/// Bytes free for further variables, before the map has to grow.
pub const MAPVAR_STAT_FREE: u32 = 5;
/// The longest contiguous part of the free bytes.
pub const MAPVAR_STAT_LARGEST_FREE: u32 = 6;
/// Bytes that the region may grow to; 0 = limited only by the disk.
pub const MAPVAR_STAT_MAX_SIZE: u32 = 7;
/// Bytes that are neither used nor free: header, tables, index, ends of chunks.
pub const MAPVAR_STAT_OVERHEAD: u32 = 8;
/// How many variables there are.
pub const MAPVAR_STAT_VARIABLES: u32 = 9;
/// 1 if the map lives in a file.
pub const MAPVAR_STAT_FILE: u32 = 10;
/// When the map was created, in seconds since 1970 (UTC); 0 for a gem's map.
pub const MAPVAR_STAT_CREATED: u32 = 11;
/// The process that created the map, 0 for a gem's map; it may have ended, and its number may
/// belong to another process.
pub const MAPVAR_STAT_CREATOR: u32 = 12;
/// 1 if the disk failed at a flush. Every later flush fails, in every process; salvage saves the
/// variables into another file.
pub const MAPVAR_STAT_FLUSH_FAILED: u32 = 13;
/// Bytes of disk or memory that the system has allocated for the map; those of the region where it
/// does not tell (Windows, for a map without a file).
pub const MAPVAR_STAT_ALLOCATED: u32 = 14;

/// Reports one of the figures; `which` is one of MAPVAR_STAT_….
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_stat_get(
    stat: *mut mapvar_stat,
    which: u32,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_stat_get", || {
        let out = wanted("out", out)?;
        with(stat, |stat| {
            out.write(figure(stat, which)?);
            Ok(())
        })
    })
}

fn figure(stat: &Stat, which: u32) -> Result<u64> {
    Ok(match which {
        MAPVAR_STAT_FORMAT => stat.format.into(),
        MAPVAR_STAT_SIZE => stat.size,
        MAPVAR_STAT_REGION => stat.region,
        MAPVAR_STAT_USED => stat.used,
        MAPVAR_STAT_FREE => stat.free,
        MAPVAR_STAT_LARGEST_FREE => stat.largest_free,
        MAPVAR_STAT_MAX_SIZE => stat.max_size.unwrap_or(0),
        MAPVAR_STAT_OVERHEAD => stat.overhead,
        MAPVAR_STAT_VARIABLES => stat.variables,
        MAPVAR_STAT_FILE => stat.file.into(),
        MAPVAR_STAT_CREATED => {
            stat.created.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
        }
        MAPVAR_STAT_CREATOR => stat.creator.into(),
        MAPVAR_STAT_FLUSH_FAILED => stat.flush_failed.into(),
        MAPVAR_STAT_ALLOCATED => stat.allocated,
        _ => {
            let detail = format!("{which} is none; use one of MAPVAR_STAT_…");
            return Err(refused(ErrorKind::InvalidArgument, "which", detail));
        }
    })
}

/// Frees figures. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_stat_free(stat: *mut mapvar_stat) -> i32 {
    run_call("mapvar_stat_free", || close(stat).map(drop))
}

fn count<H: Handle>(
    handle: *mut H,
    out: Option<&mut MaybeUninit<u64>>,
    count: impl FnOnce(&H::Object) -> u64,
) -> Result<()> {
    let out = wanted("out", out)?;
    with(handle, |object| {
        out.write(count(object));
        Ok(())
    })
}

fn beyond(index: usize) -> mapvar::Error {
    refused(ErrorKind::OutOfRange, "index", format!("{index} is beyond the last"))
}

/// Reports how many findings there are, notes and faults together.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_check_count(
    check: *mut mapvar_check,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_check_count", || count(check, out, |check| check.findings().len() as u64))
}

/// Reports how many findings are faults; a map without faults is intact.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_check_faults(
    check: *mut mapvar_check,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_check_faults", || count(check, out, |check| check.faults() as u64))
}

/// Reports how many variables were found.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_check_variables(
    check: *mut mapvar_check,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_check_variables", || count(check, out, Check::variables))
}

/// Reports the finding at `index`, from 0 on: its byte offset `at`, whether it is a fault (1) or a
/// note (0), the variable concerned (`name` is NULL if there is none), and a description. The texts
/// are UTF-8 without a NUL and live until the check is freed. MAPVAR_OUT_OF_RANGE beyond the last.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_check_finding(
    check: *mut mapvar_check,
    index: usize,
    at: Option<&mut MaybeUninit<u64>>,
    fault: Option<&mut MaybeUninit<i32>>,
    name: Option<&mut MaybeUninit<*const c_char>>,
    name_len: Option<&mut MaybeUninit<usize>>,
    what: Option<&mut MaybeUninit<*const c_char>>,
    what_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_check_finding", || {
        let (at, fault) = (wanted("at", at)?, wanted("fault", fault)?);
        let (name, name_len) = (wanted("name", name)?, wanted("name_len", name_len)?);
        let (what, what_len) = (wanted("what", what)?, wanted("what_len", what_len)?);
        with(check, |check| {
            let found = check.findings().get(index).ok_or_else(|| beyond(index))?;
            at.write(found.at);
            fault.write((found.severity == Severity::Fault).into());
            name.write(std::ptr::null());
            name_len.write(0);
            if let Some(variable) = &found.variable {
                lend(variable, name, name_len);
            }
            lend(&found.what, what, what_len);
            Ok(())
        })
    })
}

/// Frees a check and its texts. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_check_free(check: *mut mapvar_check) -> i32 {
    run_call("mapvar_check_free", || close(check).map(drop))
}

/// Reports how many variables were saved, including those saved with an older value.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_salvage_saved(
    salvage: *mut mapvar_salvage,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_salvage_saved", || count(salvage, out, Salvage::saved))
}

/// Reports how many variables were lost, or lost their newest value.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_salvage_lost_count(
    salvage: *mut mapvar_salvage,
    out: Option<&mut MaybeUninit<u64>>,
) -> i32 {
    run_call("mapvar_salvage_lost_count", || {
        count(salvage, out, |salvage| salvage.lost().len() as u64)
    })
}

/// Reports the loss at `index`, from 0 on: where the damage is, whether an older value was saved
/// (1), the variable's name as far as it is known (else NULL), and what is wrong. The texts live as
/// in mapvar_check_finding. A plain struct whose layout is damaged is a loss, and its bytes are saved
/// nevertheless.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_salvage_lost(
    salvage: *mut mapvar_salvage,
    index: usize,
    at: Option<&mut MaybeUninit<u64>>,
    older: Option<&mut MaybeUninit<i32>>,
    name: Option<&mut MaybeUninit<*const c_char>>,
    name_len: Option<&mut MaybeUninit<usize>>,
    what: Option<&mut MaybeUninit<*const c_char>>,
    what_len: Option<&mut MaybeUninit<usize>>,
) -> i32 {
    run_call("mapvar_salvage_lost", || {
        let (at, older) = (wanted("at", at)?, wanted("older", older)?);
        let (name, name_len) = (wanted("name", name)?, wanted("name_len", name_len)?);
        let (what, what_len) = (wanted("what", what)?, wanted("what_len", what_len)?);
        with(salvage, |salvage| {
            let lost = salvage.lost().get(index).ok_or_else(|| beyond(index))?;
            at.write(lost.at);
            older.write(lost.older.into());
            name.write(std::ptr::null());
            name_len.write(0);
            if let Some(variable) = &lost.variable {
                lend(variable, name, name_len);
            }
            lend(&lost.what, what, what_len);
            Ok(())
        })
    })
}

/// Frees a salvage and its texts. Does nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_salvage_free(salvage: *mut mapvar_salvage) -> i32 {
    run_call("mapvar_salvage_free", || close(salvage).map(drop))
}
