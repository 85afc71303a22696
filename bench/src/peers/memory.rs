//! Plain memory: memcpy, and stores to a mapped file with msync.

use super::{Bulk, Durable, Place};
use crate::{Result, scratch};
use memmap2::MmapMut;
use std::fs::File;

/// memcpy from and to an anonymous shared mapping.
pub struct Memcpy(MmapMut);

impl Bulk for Memcpy {
    const PEER: &'static str = "memcpy";

    fn create(_: &str, size: usize) -> Result<Self> {
        let mut mapping = MmapMut::map_anon(size)?;
        mapping.fill(7);
        Ok(Self(mapping))
    }

    #[inline]
    fn read(&mut self, into: &mut [u8]) {
        into.copy_from_slice(&self.0);
    }

    #[inline]
    fn write(&mut self, from: &[u8]) {
        self.0.copy_from_slice(from);
    }
}

/// Numbers in a mapped file, as far apart as mapvar's records.
pub struct Mapped {
    mapping: MmapMut,
    next: usize,
}

const APART: usize = 384;

impl Mapped {
    pub fn create(label: &str, count: usize) -> Result<Self> {
        let path = scratch::path(label, Place::Disk)?;
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len((count * APART) as u64)?;
        // SAFETY: nothing else has the file.
        #[allow(unsafe_code, reason = "a mapped file")]
        let mut mapping = unsafe { MmapMut::map_mut(&file) }?;
        mapping.fill(7);
        mapping.flush()?;
        Ok(Self { mapping, next: 0 })
    }
}

impl Durable for Mapped {
    const PEER: &'static str = "stores and msync";

    fn change(&mut self, names: &[&str], value: u64) {
        for _ in names {
            // A step that is prime to the count, so that the stores scatter as ours do.
            self.next = (self.next + 619 * APART) % self.mapping.len();
            self.mapping[self.next..self.next + 8].copy_from_slice(&value.to_le_bytes());
        }
        self.mapping.flush().expect("synced");
    }
}
