//! Views: mapping a range, unmapping it, and writing it to the file.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    cvt::{is, last, of_flush},
    machine,
    memory::pages::{Addresses, Piece, is_taken},
    section::{
        grow,
        handle::{Pages, Section},
    },
};
use crate::{
    error::{Error, ErrorKind, Result},
    memory::{registry::Losses, words::Length},
    options::Access,
    spec::MapSpec,
};
use std::{
    os::windows::io::AsHandle,
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};
use windows_sys::Win32::{
    Foundation::ERROR_LOCK_VIOLATION,
    System::Memory::{
        FILE_MAP_COPY, FILE_MAP_EXECUTE, FILE_MAP_LARGE_PAGES, FILE_MAP_READ, FILE_MAP_WRITE,
        FlushViewOfFile,
    },
};

/// A mapped range, and behind it the addresses for more. The range is one piece, or several over a
/// file that has grown, each of which begins where the one before it ends.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    offset: u64,
    access: u32,
    /// The losses of all pieces. They belong to the first piece, which stays registered for as long
    /// as this value lives.
    losses: Losses,
    /// The largest length that `extend` accepts.
    reserved: Length,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    /// Each piece begins where the one before it ends. That is a multiple of the granularity,
    /// except for the end of the last piece if there is no `rest`.
    pieces: Vec<Piece>,
    /// Begins where the last piece ends.
    rest: Option<Addresses>,
}

// SAFETY: the value is an address and the duty to unmap it, which any thread may do. The memory is
// accessed only as the contract of `Platform` allows, by atomic words.
unsafe impl Send for Mapping {}
// SAFETY: as above. The fields that change through a shared reference are a mutex and an atomic,
// and no piece is ever unmapped or moved before the whole is.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn new(section: &Section, spec: &MapSpec) -> Result<Self> {
        if section.pages == Pages::Image && spec.access != Access::Read {
            return Err(Error::new(ErrorKind::ReadOnly, "", "")
                .detail("an executable image is for reading; map it with Access::Read"));
        }
        let access = match spec.access {
            Access::Read => FILE_MAP_READ,
            Access::ReadWrite => FILE_MAP_WRITE,
            Access::CopyOnWrite => FILE_MAP_COPY,
        };
        let execute = if spec.execute { FILE_MAP_EXECUTE } else { 0 };
        let large = if section.pages == Pages::Large { FILE_MAP_LARGE_PAGES } else { 0 };
        let access = access | execute | large;
        let grows =
            spec.reserve > spec.len && matches!(section.pages, Pages::Plain | Pages::Reserved);
        let mut parts = match (&section.file, grows) {
            (Some(_), true) => contiguous(section, access, spec)?,
            (None, true) => in_one_piece(section, access, spec)?.into(),
            _ => piece(section, access, spec, spec.len, spec.base_address)?.into(),
        };
        let Some(first) = parts.pieces.first_mut() else { return Err(no_object()) };
        first.commit(spec.len)?;
        let (address, losses) =
            (first.address, first.register(section.file.as_ref(), access, spec.offset, None));
        Ok(Self {
            address,
            offset: spec.offset,
            access,
            losses,
            reserved: Length::new(parts.reserved()),
            parts: Mutex::new(parts),
        })
    }

    #[inline]
    pub(super) fn address(&self) -> NonNull<u8> {
        self.address
    }

    #[inline]
    pub(super) fn losses(&self) -> Losses {
        self.losses
    }

    pub(super) fn reserved(&self) -> usize {
        // Relaxed: the number is only a hint, and `extend` checks the parts themselves.
        self.reserved.load(Ordering::Relaxed)
    }

    /// See [`crate::sys::Platform::extend`].
    pub(super) fn extend(&self, section: &Section, len: usize) -> Result<()> {
        let mut parts = self.parts();
        if len > parts.mapped() {
            let done = parts.map_next(section, self, len);
            self.reserved.store(parts.reserved(), Ordering::Relaxed);
            return done;
        }
        match &*parts.pieces {
            // A section that is only reserved has one piece.
            [one] => one.commit(len),
            _ => Ok(()),
        }
    }

    pub(super) fn unmap(self) -> Result<()> {
        let mut parts = self.parts.into_inner().unwrap_or_else(PoisonError::into_inner);
        parts.end()
    }

    /// Starts to write `len` bytes from byte `first` on to the file.
    pub(super) fn flush(&self, first: usize, len: usize) -> Result<()> {
        let mut begin = 0;
        let clip = |piece: &Piece| {
            let (from, end) = (first.max(begin), begin + piece.len);
            let to = first.saturating_add(len).min(end);
            begin = end;
            (from, to)
        };
        // The mutex is not held over the calls, which wait for a disk: pieces stay where they are.
        let ranges = self.parts().pieces.iter().map(clip).collect::<Vec<_>>();
        for (from, to) in ranges {
            // An empty range is skipped: Windows would take it for "all the rest".
            if from < to {
                self.flush_range(from, to - from)?;
            }
        }
        Ok(())
    }

    /// Writes a range that is not empty and lies within one piece.
    fn flush_range(&self, from: usize, len: usize) -> Result<()> {
        let from = self.address.as_ptr().wrapping_add(from).cast_const().cast();
        for pause in 0..100 {
            // SAFETY: the range lies in one piece, as `flush` ensures, and pieces are mapped for as
            // long as `self` lives.
            if unsafe { FlushViewOfFile(from, len) } != 0 {
                return Ok(());
            }
            let error = last();
            // The lazy writer has locked the range; the documentation says that this passes.
            if !is(&error, ERROR_LOCK_VIOLATION) {
                return Err(of_flush(error));
            }
            thread::sleep(Duration::from_millis(pause.min(10)));
        }
        Err(Error::new(ErrorKind::Contended, "", "")
            .detail("the system was busy writing the same pages a hundred times; try again"))
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // No code can panic half-way through a change, so a poisoned value is intact.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Piece> for Parts {
    fn from(piece: Piece) -> Self {
        Self { pieces: vec![piece], rest: None }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Parts {
    /// Unmaps all pieces, the first one last, since it has the losses of the others.
    fn end(&mut self) -> Result<()> {
        let mut ended = Ok(());
        while let Some(piece) = self.pieces.pop() {
            ended = piece.unmap().and(ended);
        }
        ended
    }

    fn mapped(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len).sum()
    }

    fn reserved(&self) -> usize {
        self.mapped() + self.rest.as_ref().map_or(0, |rest| rest.len)
    }

    /// Maps the next piece, so that `len` bytes are mapped.
    fn map_next(&mut self, section: &Section, whole: &Mapping, len: usize) -> Result<()> {
        let Mapping { access, offset, losses, .. } = *whole;
        let gone = || {
            Error::new(ErrorKind::TooLarge, "", "").detail(
                "another part of this program has got the addresses behind the view; map it again",
            )
        };
        let (mapped, most) = (self.mapped(), self.reserved());
        // The addresses were lost after the check of the common code.
        if len > most {
            return Err(gone());
        }
        let end = whole_granules(section, offset, len, most)?;
        let object = section.object(offset + end as u64)?;
        let Some(rest) = self.rest.take() else { return Err(gone()) };
        let (piece, left) =
            rest.fill(object.as_handle(), access, offset + mapped as u64, end - mapped);
        let next = piece.as_ref().map_or(mapped, |_| end);
        self.rest = left.filter(|_| next.is_multiple_of(machine::sizes().1));
        let mut piece = piece.map_err(|error| if is_taken(&error) { gone() } else { error })?;
        if let Err(error) = piece.commit(piece.len) {
            // The addresses in `rest` would begin behind a hole.
            self.rest = None;
            return Err(error);
        }
        piece.register(section.file.as_ref(), access, offset + mapped as u64, Some(losses));
        self.pieces.push(piece);
        Ok(())
    }
}

fn no_object() -> Error {
    Error::new(ErrorKind::Truncated, "", "").detail("there is nothing to map")
}

/// Maps `len` bytes in one piece, at `base` unless that is 0.
fn piece(section: &Section, access: u32, spec: &MapSpec, len: usize, base: usize) -> Result<Piece> {
    let object = section.object(spec.offset.saturating_add(len as u64))?;
    Piece::map(object.as_handle(), access, spec.offset, len, base)
}

/// Maps memory in the page file, or a file that is known only by its section. Its section object
/// never grows, so all of it is mapped, and committed as it is needed.
fn in_one_piece(section: &Section, access: u32, spec: &MapSpec) -> Result<Piece> {
    let there = section.size.saturating_sub(spec.offset);
    let there = usize::try_from(there).map_or(spec.reserve, |there| there.min(spec.reserve));
    let most = there.max(spec.len);
    piece(section, access, spec, most, spec.base_address)
        // Then with fewer addresses.
        .or_else(|_| piece(section, access, spec, spec.len, spec.base_address))
}

/// Maps all of a file, and reserves addresses behind it.
fn contiguous(section: &Section, access: u32, spec: &MapSpec) -> Result<Parts> {
    let granule = machine::sizes().1;
    let most = spec.reserve.checked_next_multiple_of(granule).unwrap_or(spec.reserve);
    let mapped = whole_granules(section, spec.offset, spec.len, most)?;
    let mut reserve = if mapped.is_multiple_of(granule) { most } else { mapped };
    let (mut refused, mut lost) = (false, 0);
    while reserve > mapped && lost < 10 {
        // After a failure the next round does without a placeholder.
        match Addresses::take(spec.base_address, reserve, lost == 0) {
            // So many addresses that only half as many are left would have been refused. The
            // reservation is halved once more, so that other reservations find addresses too.
            Ok(_) if refused => refused = false,
            Ok(all) => {
                let object = section.object(spec.offset + mapped as u64)?;
                if let (Ok(piece), rest @ Some(_)) =
                    all.fill(object.as_handle(), access, spec.offset, mapped)
                {
                    return Ok(Parts { pieces: vec![piece], rest });
                }
                // Another thread has taken the addresses: try others.
                lost += 1;
                continue;
            }
            Err(_) => refused = true,
        }
        let half = reserve / 2;
        reserve = mapped.max(half - half % granule);
    }
    piece(section, access, spec, mapped, spec.base_address).map(Parts::from)
}

/// Returns how much of a file to map from `offset` on. At least `least` bytes are needed, and
/// `most` can be had. The result is all that the file has, up to the end of a granule, since the
/// next piece begins at one. The file is made longer for that. If that fails, less is mapped, or
/// the piece is the last.
fn whole_granules(section: &Section, offset: u64, least: usize, most: usize) -> Result<usize> {
    let granule = machine::sizes().1;
    let size = section.size()?;
    let there = usize::try_from(size.saturating_sub(offset)).unwrap_or(most);
    let part = there % granule;
    if there >= most || part == 0 {
        return Ok(there.min(most).max(least));
    }
    if let (Some(file), true) = (&section.file, section.writes_file)
        && let Some(whole) = size.checked_next_multiple_of(granule as u64)
        && grow::file_to(section, file, section.options.timeout, 0, whole).is_ok()
    {
        return Ok((there - part + granule).max(least));
    }
    let below = there - part;
    Ok(if below >= least { below } else { there.max(least) })
}
