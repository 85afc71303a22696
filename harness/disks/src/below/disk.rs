//! A disk in memory whose copies share their pages, and the record of what reached it.

use mapvar_harness::{Random, random::mix};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::Arc,
};

/// The smallest that mkfs.xfs accepts is 300 MB.
pub const BYTES: usize = 320 << 20;
/// The file systems have blocks and sectors of this size, and rely on the disk writing each of
/// their own as a whole.
pub const PAGE: usize = 4_096;
/// A disk writes this much as a whole.
const SECTOR: usize = 512;

#[derive(Clone)]
pub struct Disk(Vec<Option<Arc<[u8; PAGE]>>>);

impl Disk {
    pub fn empty() -> Self {
        Self(vec![None; BYTES / PAGE])
    }

    /// Reads bytes within one disk; beyond its end are zeros.
    pub fn read(&self, mut at: usize, mut into: &mut [u8]) {
        while !into.is_empty() {
            let within = at % PAGE;
            let (now, rest) = into.split_at_mut(into.len().min(PAGE - within));
            match self.0.get(at / PAGE) {
                Some(Some(page)) => now.copy_from_slice(&page[within..within + now.len()]),
                _ => now.fill(0),
            }
            at += now.len();
            into = rest;
        }
    }

    pub fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let within = at % PAGE;
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE - within));
            if let Some(page) = self.0.get_mut(at / PAGE) {
                let page = page.get_or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(page)[within..within + now.len()].copy_from_slice(now);
            }
            at += now.len();
            bytes = rest;
        }
    }

    /// Writes it to a sparse file, for a person to mount.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        for (number, page) in self.0.iter().enumerate() {
            if let Some(page) = page {
                file.seek(SeekFrom::Start((number * PAGE) as u64))?;
                file.write_all(&page[..])?;
            }
        }
        file.set_len(BYTES as u64)
    }
}

/// What reached the disk, in its order.
pub enum Event {
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    /// All writes before it are durable. A write with FUA is one with a flush behind it, since the
    /// loop device has no FUA.
    Flush,
}

/// What a power cut leaves of the writes that no flush made durable.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    All,
    Nothing,
    /// Each write or none of it.
    Writes,
    /// Each page of each write, or nothing of it.
    Pages,
    /// All but one write.
    AllButOne,
    /// One write alone.
    One,
    /// As `Pages`, and of the map's own pages each sector.
    Sectors,
}

impl Style {
    const ALL: [Self; 7] = [
        Self::All,
        Self::Nothing,
        Self::Writes,
        Self::Pages,
        Self::AllButOne,
        Self::One,
        Self::Sectors,
    ];

    pub fn any(random: &mut Random) -> Self {
        Self::ALL[random.below(Self::ALL.len() as u64) as usize]
    }
}

/// A record that is walked from cut to cut.
pub struct Walk<'a> {
    events: &'a [Event],
    /// The disk with all events before `done`, the last flush that the walk has passed.
    durable: Disk,
    done: usize,
}

impl<'a> Walk<'a> {
    pub fn new(start: &Disk, events: &'a [Event]) -> Self {
        Self { events, durable: start.clone(), done: 0 }
    }

    /// Returns a disk that a power cut may leave after the first `cut` events, a number that tells
    /// it from others, and how many writes no flush had made durable. Cuts must not decrease.
    pub fn state(
        &mut self,
        cut: usize,
        style: Style,
        own: &BTreeSet<usize>,
        random: &mut Random,
    ) -> (Disk, u64, usize) {
        let seen = &self.events[self.done..cut];
        let flushed = seen.iter().rposition(|event| matches!(event, Event::Flush)).unwrap_or(0);
        for event in &seen[..flushed] {
            if let Event::Write { at, bytes } = event {
                self.durable.write(*at, bytes);
            }
        }
        self.done += flushed;
        let open: Vec<_> = self.events[self.done..cut]
            .iter()
            .filter_map(|event| match event {
                Event::Write { at, bytes } => Some((*at, bytes.as_slice())),
                Event::Flush => None,
            })
            .collect();
        let one = random.below(open.len() as u64) as usize;
        let (mut disk, mut print) = (self.durable.clone(), self.done as u64);
        for (number, (at, bytes)) in open.iter().enumerate() {
            let whole = match style {
                Style::All => Some(true),
                Style::Nothing => Some(false),
                Style::Writes => Some(random.one_in(2)),
                Style::AllButOne => Some(number != one),
                Style::One => Some(number == one),
                Style::Pages | Style::Sectors => None,
            };
            let mut from = 0;
            while from < bytes.len() {
                let page = (at + from) / PAGE;
                let torn = matches!(style, Style::Sectors) && own.contains(&page);
                let piece = match whole {
                    Some(_) => bytes.len(),
                    None if torn => SECTOR,
                    None => PAGE - (at + from) % PAGE,
                };
                let to = (from + piece).min(bytes.len());
                if whole.unwrap_or_else(|| random.one_in(2)) {
                    disk.write(at + from, &bytes[from..to]);
                    print = mix(print ^ mix((number << 32 | from) as u64));
                }
                from = to;
            }
        }
        (disk, print, open.len())
    }
}
