//! A copy of a region in this process's own memory, for an opener that reads a file which has to be
//! recovered first. The file stays as it is.

use mapvar_engine::{
    durable::recover::in_time,
    error::EngineError,
    layout::{self, CHUNK, identity, incarnation},
};
use mapvar_os::{Access, Error, ErrorKind, Result, Section, SectionFlags, View, machine};
use std::time::Duration;

/// How often the copy is repeated because another process recovered the file meanwhile.
const ATTEMPTS: u32 = 5;

/// A copy of a region, in a section of its own.
pub(super) struct Private {
    pub(super) section: Section,
    pub(super) view: View,
    /// Bytes of the file that were copied.
    pub(super) bytes: u64,
}

/// Copies the region that the section of a file holds, up to `most` bytes: what a recovery in place
/// would reach. Returns `None` if another process has recovered the file meanwhile, as `is_current`
/// tells. Fails once `late` returns true.
///
/// A file that has to be recovered has one possible writer: a process that recovers it in place.
/// That one increments the incarnation first and writes the identity last. So if both are unchanged
/// after the copy, the copy has nothing of it.
pub(super) fn copy(
    file: &Section,
    most: u64,
    is_current: &dyn Fn() -> Result<bool>,
    late: &dyn Fn() -> bool,
) -> std::result::Result<Option<Private>, EngineError> {
    for attempt in 0..ATTEMPTS {
        let bytes = file.size()?.min(most) / CHUNK * CHUNK;
        let from = file.view().len(bytes).access(Access::Read).map()?;
        let before = stamp(&from)?;
        // After the stamp: of a file that is recovered between the two, the copy would be a live one.
        if is_current()? {
            return Ok(None);
        }
        // Room to grow in: a recovery may need a larger index.
        let room = bytes.saturating_mul(2);
        let section =
            Section::options().size(bytes).max_size(room).flags(SectionFlags::RESERVE).create()?;
        let view = section.view().len(bytes).reserve(room).map()?;
        copy_all(file, &from, &view, bytes, late)?;
        if stamp(&from)? == before {
            return Ok(Some(Private { section, view, bytes }));
        }
        machine::nap(Duration::from_millis(1 << attempt));
    }
    Err(Error::new(ErrorKind::Contended, "open", "")
        .detail("another process recovered it while it was read; try again")
        .into())
}

/// Makes the recovered copy a section that is mapped for reading.
pub(super) fn for_reading(section: &Section, len: u64) -> Result<View> {
    section.view().len(len).access(Access::Read).map()
}

/// Returns the words that change when the file is recovered.
fn stamp(view: &View) -> Result<Vec<u8>> {
    let mut words = vec![0; identity::WORDS * 8 + 8];
    let (one, two) = words.split_at_mut(identity::WORDS * 8);
    view.read_at(identity::AT as usize, one)?;
    view.read_at(incarnation::AT as usize + incarnation::COUNT * 8, two)?;
    Ok(words)
}

/// Copies what a file holds, without its holes, which the copy has already as zeros.
fn copy_all(
    file: &Section,
    from: &View,
    to: &View,
    bytes: u64,
    late: &dyn Fn() -> bool,
) -> std::result::Result<(), EngineError> {
    let mut chunk = vec![0_u8; layout::CHUNK as usize];
    let mut number = 0;
    let mut data = 0;
    while number * CHUNK < bytes {
        if number * CHUNK >= data {
            // If the system cannot tell, everything counts as data.
            let found = file.data_from(number * CHUNK).unwrap_or(Some((number * CHUNK, bytes)));
            let Some((start, end)) = found else { break };
            (number, data) = (number.max(start / CHUNK), end);
            if number * CHUNK >= bytes {
                break;
            }
        }
        in_time(late)?;
        let at = usize::try_from(number * CHUNK).unwrap_or(usize::MAX);
        from.read_at(at, &mut chunk)?;
        // Zeros take no memory: the copy has them already.
        if chunk.iter().any(|byte| *byte != 0) {
            to.write_at(at, &chunk)?;
        }
        number += 1;
    }
    Ok(())
}
