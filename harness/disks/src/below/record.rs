//! A process that uses a map on the recorded file system, and what it was told.

use super::{
    World,
    disk::{BYTES, Disk, Event, PAGE},
    systems::{Mounted, System, flush_another, write_back},
};
use mapvar::Map;
use mapvar_harness::{
    Random,
    contents::{Content, Op},
    peer::{self, Peer, say},
};
use std::{collections::BTreeSet, path::Path, process::Command, thread, time::Duration};

/// Runs the process that uses the map, from the operation behind the first `done` ones on. It waits
/// before and after each flush, so that the harness knows how much of the record belongs to it.
pub fn writer(path: &str, seed: u64, done: u64) -> mapvar::Result<()> {
    let mut random = Random::new(seed);
    let options = Map::options().file(path).size(4_000 + random.below(60_000));
    let map = if done == 0 { options.create()? } else { options.open()? };
    for stamp in 1.. {
        let op = Op::next(&mut random, stamp);
        if stamp <= done {
            continue;
        }
        if !matches!(op, Op::Flush) {
            op.run(&map)?;
            continue;
        }
        say("flush");
        if peer::read_order() == "close" {
            // The last handle flushes what was set.
            map.close()?;
            say("flushed");
            break;
        }
        op.run(&map)?;
        say("flushed");
        peer::read_order();
    }
    Ok(())
}

/// A flush, and the numbers of events that had reached the disk when it began and returned.
struct Flush {
    begun: usize,
    returned: usize,
    content: Content,
}

pub struct Record {
    pub start: Disk,
    pub events: Vec<Event>,
    /// The number of events when the writer was started.
    pub from: usize,
    /// The number of events when the writer had ended, before the file system was unmounted.
    pub until: usize,
    /// The pages of the disk that may be torn within.
    pub own: BTreeSet<usize>,
    pub flushes: usize,
    pub kills: usize,
    done: Vec<Flush>,
}

/// What a map may be after a power cut.
#[derive(Clone, Debug)]
pub struct Allowed {
    pub contents: Vec<Content>,
    /// Whether there may be no file.
    pub absent: bool,
}

impl Record {
    /// Returns what a power cut after `cut` events may leave: the content of the last flush that
    /// had returned, or of a later one that had begun. Before the first one, no file or an empty
    /// map too.
    pub fn allowed(&self, cut: usize) -> Allowed {
        let last = self.done.iter().rposition(|it| it.returned <= cut);
        let later = &self.done[last.unwrap_or(0)..];
        let mut contents: Vec<_> =
            later.iter().filter(|it| it.begun <= cut).map(|it| it.content.clone()).collect();
        if last.is_none() {
            contents.push(Content::new());
        }
        Allowed { contents, absent: last.is_none() }
    }
}

/// Records a life of a map: a process creates and uses it, is killed now and then and followed by
/// another one, and closes it at the end or not. If `swallow`, its syncs do nothing and succeed.
pub fn record(
    world: &World,
    system: &System,
    (formatted, options): (&Disk, &str),
    seed: u64,
    swallow: bool,
) -> Result<Record, String> {
    let mut random = Random::new(seed ^ 0xd15c);
    world.drive.insert(formatted.clone());
    world.boots.begin();
    let mounted = Mounted::new(system, &world.drive.image(), &world.at, options)?;
    let (path, other) = (world.map(), world.at.join("other"));
    let from = world.drive.position();
    let start = |done: u64| {
        let [seed, done] = [seed, done].map(|it| it.to_string());
        let arguments = ["--writer", &path.to_string_lossy(), &seed, &done].map(String::from);
        let mut command = peer::this(arguments.iter().map(String::as_str));
        if swallow {
            command = swallowing(&command);
        }
        Peer::start(&mut command).map_err(|error| error.to_string())
    };
    let mut ops = Random::new(seed);
    ops.below(60_000);
    let (mut stamp, mut now) = (0, Content::new());
    let (mut done, mut own, mut kills) = (Vec::new(), BTreeSet::new(), 0);
    let mut writer = start(0)?;
    let flushes = 3 + random.below(8);
    for number in 1..=flushes {
        loop {
            stamp += 1;
            match Op::next(&mut ops, stamp) {
                Op::Flush => break,
                op => op.apply(&mut now),
            }
        }
        hear(&mut writer, "flush")?;
        if random.one_in(3) {
            write_back(&path, random.below(1 << 20), 1 + random.below(1 << 20));
        }
        if !swallow && random.one_in(4) {
            // The next process finds what this one has set, and skips the flush.
            writer.kill();
            writer = start(stamp)?;
            kills += 1;
            continue;
        }
        let begun = world.drive.position();
        writer.send_line(if number == flushes && random.one_in(2) { "close" } else { "flush" });
        if random.one_in(4) {
            thread::sleep(Duration::from_micros(random.below(1_500)));
            flush_another(&other);
        }
        hear(&mut writer, "flushed")?;
        let returned = world.drive.position();
        done.push(Flush { begun, returned, content: now.clone() });
        mark_own(system, &path, &mut own);
        writer.send_line("on");
    }
    writer.kill();
    // A process under strace ends with its input.
    drop(writer);
    mark_own(system, &path, &mut own);
    let until = world.drive.position();
    mounted.end()?;
    let events = world.drive.take_events();
    let flushes = done.len();
    Ok(Record { start: formatted.clone(), events, from, until, own, flushes, kills, done })
}

fn hear(writer: &mut Peer, expected: &str) -> Result<(), String> {
    match writer.hear() {
        Some(line) if line == expected => Ok(()),
        other => Err(format!("the writer said {other:?}, and not {expected:?}")),
    }
}

/// Returns whether strace may do what the control asks of it.
pub fn has_strace() -> bool {
    let tried = swallowing(&Command::new("true")).output();
    tried.is_ok_and(|output| output.status.success())
}

/// Returns a command under which each sync of a program does nothing and succeeds.
fn swallowing(command: &Command) -> Command {
    const SYNCS: &str = "fsync,fdatasync,msync";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", &format!("trace={SYNCS}")]);
    strace.args(["-e", &format!("inject={SYNCS}:retval=0")]);
    strace.arg(command.get_program()).args(command.get_args());
    strace
}

/// Adds the pages of the disk that the map's file occupies. Of btrfs these are all but the two
/// superblocks: it writes nothing else in place that no checksum covers.
fn mark_own(system: &System, path: &Path, own: &mut BTreeSet<usize>) {
    if system.name == "btrfs" {
        own.extend((0..BYTES / PAGE).filter(|page| ![16, 16_384].contains(page)));
        return;
    }
    let Ok(output) = Command::new("filefrag").args(["-v", "-b4096"]).arg(path).output() else {
        return;
    };
    // A line is `NUMBER: LOGICAL..LOGICAL: FIRST..LAST: COUNT: FLAGS`.
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<&str> = line.split(':').map(str::trim).collect();
        let physical = fields.get(2).and_then(|it| it.split_once(".."));
        let Some((first, last)) = physical else { continue };
        let pages = first.trim().parse::<usize>().ok().zip(last.trim().parse::<usize>().ok());
        if let Some((first, last)) = pages
            && !line.contains("delalloc")
        {
            own.extend(first..=last);
        }
    }
}
