//! A region that is mapped for reading, and in which no lock can be taken. `check` and `salvage`
//! use it on a file that cannot be opened as a map.

use crate::{
    error::EngineError,
    layout::{self},
    mem::{Load, Mem, Ordering, data_in, next_data_in, within},
};
use mapvar_os::{Refused, Section, Taken, View, Words, WordsMut};

/// A section, mapped for reading.
#[derive(Debug)]
pub struct ReadOnly {
    // The fields are dropped in this order: the view, the handle.
    view: View,
    section: Section,
}

impl ReadOnly {
    /// Maps the first `bytes` of the section, and reserves addresses so that it can follow its
    /// growth up to `reserved` bytes.
    pub fn new(section: Section, bytes: u64, reserved: u64) -> mapvar_os::Result<Self> {
        let view = section.view().len(bytes).reserve(reserved.max(bytes)).map()?;
        Ok(Self { view, section })
    }

    /// Returns the section.
    pub fn section(&self) -> &Section {
        &self.section
    }

    /// Returns why the mapping was lost, if it was.
    pub fn lost(&self) -> Option<mapvar_os::Error> {
        self.view.lost()
    }
}

impl Mem for ReadOnly {
    type Words<'a> = Words<'a>;
    type WordsMut<'a> = WordsMut<'a>;

    fn size(&self) -> u64 {
        self.view.len() as u64
    }

    fn words(&self, at: u64, count: usize) -> Option<Words<'_>> {
        self.view.plain_words(within(at), count)
    }

    fn words_mut(&self, _: u64, _: usize) -> Option<WordsMut<'_>> {
        None
    }

    fn fence(&self, order: Ordering) {
        std::sync::atomic::fence(order);
    }

    fn reach(&self, bytes: u64) -> bool {
        let len = within(bytes);
        len <= self.view.len()
            || (len <= self.view.reserved()
                && self.section.size().is_ok_and(|size| bytes <= size)
                && self.view.grow(len).is_ok())
    }

    fn limit(&self) -> u64 {
        self.view.reserved() as u64
    }

    fn data_from(&self, at: u64) -> Option<(u64, u64)> {
        data_in(&self.section, at, self.size())
    }

    fn next_data(&self, at: u64) -> Option<u64> {
        next_data_in(&self.section, at, self.size())
    }

    fn seat(&self) -> Result<u64, EngineError> {
        Err(EngineError::ReadOnly)
    }

    fn is_seat_taken(&self, _: usize) -> bool {
        true
    }

    fn lock(&self, _: u64) -> Result<Taken, Refused> {
        Err(Refused::TimedOut(None))
    }

    fn unlock(&self, _: u64) {}

    fn mark(&self, _: u64, _: u32) -> Result<Taken, u32> {
        Err(0)
    }

    fn is_marked(&self, _: u64, _: u32) -> bool {
        false
    }

    fn is_held(&self, _: u64) -> bool {
        false
    }

    fn unmark(&self, _: u64) {}

    fn wake(&self, _: u64) {}

    fn reset(&self, _: u64) {}
}

/// Returns the length that the region's own words claim, in bytes.
pub fn claimed_length(words: impl Load) -> u64 {
    words.load(layout::live::CHUNKS, Ordering::Acquire).saturating_mul(layout::CHUNK)
}
