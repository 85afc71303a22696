//! `mapvar stat`

use crate::{
    args::Stat,
    exit::{Exit, Failure},
    opening,
    show::Out,
};
use mapvar::Format;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn run(args: &Stat) -> Result<Exit, Failure> {
    let map = opening::open(&args.place, args.name.as_deref(), true)?;
    let stat = map.stat()?;
    let what = match (&args.place.file, &args.name) {
        (Some(file), _) => format!("file {}", file.display()),
        (None, Some(name)) if args.place.global => format!("global name {name}"),
        (None, name) => format!("name {}", name.as_deref().unwrap_or_default()),
    };
    let mut out = Out::new();
    let ours = stat.layout == Format::Store;
    let format =
        if ours { format!("version {}", stat.format) } else { "marshal 4.8, of win32-mmap".into() };
    let all = [
        ("map", what),
        ("format", format),
        ("variables", stat.variables.to_string()),
        ("size", bytes(stat.size)),
        ("used", bytes(stat.used)),
        ("free", bytes(stat.free)),
        ("overhead", bytes(stat.overhead)),
        ("fragmentation", format!("{:.0} %", stat.fragmentation() * 100.0)),
        ("region", bytes(stat.region)),
        ("allocated", bytes(stat.allocated)),
        ("max-size", stat.max_size.map_or("no limit".into(), bytes)),
        ("created", utc(stat.created)),
        ("creator", format!("process {}", stat.creator)),
    ];
    for (key, value) in all {
        // The gem's layout does not have these.
        if !ours && matches!(key, "overhead" | "fragmentation" | "created" | "creator") {
            continue;
        }
        out.line(&format!("{key}: {value}"))?;
    }
    if stat.flush_failed {
        out.line(
            "flush: failed, since the disk failed; save the variables with `mapvar repair --file \
             PATH --into NEW`",
        )?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

fn bytes(number: u64) -> String {
    format!("{number} bytes")
}

/// Formats a time as in RFC 3339, in UTC.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, in eras of 400 years: a leap day is the last day of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
