//! A raw futex in shared memory.

use crate::{
    Result,
    peers::{Bell, Place},
    scratch,
};
use memmap2::MmapMut;
use std::{
    fs::File,
    sync::atomic::{AtomicU32, Ordering},
};

/// Two words in a shared file on tmpfs; each side waits for its own.
pub struct Futex {
    mapping: MmapMut,
    address: String,
}

impl Futex {
    fn map(address: String) -> Result<Self> {
        let file = File::options().read(true).write(true).open(&address)?;
        // SAFETY: only the two sides have the file, and both use it atomically.
        #[allow(unsafe_code, reason = "shared memory")]
        let mapping = unsafe { MmapMut::map_mut(&file) }?;
        Ok(Self { mapping, address })
    }

    /// The words are in cache lines of their own.
    fn word(&self, side: usize) -> &AtomicU32 {
        assert!(side < 2, "two sides");
        let at = self.mapping.as_ptr().wrapping_add(side * 128).cast();
        // SAFETY: `create` made the file longer than that; the word is aligned, lives as long as
        // the mapping, and is only used atomically.
        #[allow(unsafe_code, reason = "shared memory")]
        unsafe {
            &*at
        }
    }

    #[inline]
    fn ring(&self, side: usize, turn: u32) {
        let word = self.word(side);
        word.store(turn, Ordering::Release);
        // SAFETY: the call reads the address only to find the waiters.
        #[allow(unsafe_code, reason = "a system call")]
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1);
        }
    }

    #[inline]
    fn wait(&self, side: usize, turn: u32) {
        let word = self.word(side);
        loop {
            let now = word.load(Ordering::Acquire);
            if now == turn {
                return;
            }
            let none = std::ptr::null::<libc::timespec>();
            // SAFETY: the word lives for the whole call, and there is no timeout.
            #[allow(unsafe_code, reason = "a system call")]
            unsafe {
                libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, now, none);
            }
        }
    }
}

impl Bell for Futex {
    const PEER: &'static str = "raw futex";
    const WORD: &'static str = "futex";

    fn create(label: &str) -> Result<Self> {
        let path = scratch::path(label, Place::Memory)?;
        File::create_new(&path)?.set_len(4096)?;
        Self::map(path.display().to_string())
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn attach(address: &str) -> Result<Self> {
        Self::map(address.to_owned())
    }

    #[inline]
    fn ring_and_wait(&mut self, turn: u32) {
        self.ring(1, turn);
        self.wait(0, turn);
    }

    #[inline]
    fn wait_and_ring(&mut self, turn: u32) {
        self.wait(1, turn);
        self.ring(0, turn);
    }
}
