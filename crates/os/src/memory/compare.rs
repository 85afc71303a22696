//! Comparisons of shared memory by a few wide moves.
//!
//! They are written in assembly for the reason that [`bulk`](super::bulk) gives: only there may wide
//! moves read memory that another process writes. What is said there about the order of the moves,
//! and docs/UNSAFE.md, holds for them too. They write no memory.
//!
//! *Result.* Each byte is one that was stored there, but the bytes of a comparison may be of several
//! moments. So a comparison of bytes that stand throughout is right, and any other may be wrong
//! both ways. The caller must bear that.

#![allow(unsafe_code, reason = "assembly")]

/// Whether this target has an assembly version.
pub(crate) const FAST: bool =
    cfg!(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)));

/// The fewest and the most bytes that [`same`] compares.
pub(crate) const SHORTEST: usize = 16;
pub(crate) const LONGEST: usize = 32;

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
pub(crate) use imp::{alike, fetch, same};

#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
pub(crate) use none::{alike, fetch, same};

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
#[allow(clippy::inline_always, reason = "measured: a call costs as much as the comparison")]
mod imp {
    use std::arch::asm;

    /// Returns a bit for each of the eight words from `from` on: whether its bits from 40 up are
    /// those of `pattern`.
    ///
    /// # Safety
    /// [`FAST`](super::FAST) is true, and 64 bytes from `from` on are readable during the call.
    /// Other processes and threads may write to them meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn alike(from: *const u8, pattern: u64) -> u32 {
        let (low, high): (u32, u32);
        // SAFETY: reads the 64 bytes that the caller has promised, by moves that need no
        // alignment, and writes only registers, which are all declared. SSE2 is a part of x86-64.
        unsafe {
            asm!(
                "movd {pattern:x}, {high:e}",
                "pshufd {pattern:x}, {pattern:x}, 0",
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                // The high halves of the eight words.
                "shufps {a}, {b}, 0xdd",
                "shufps {c}, {d}, 0xdd",
                "psrld {a}, 8",
                "psrld {c}, 8",
                "pcmpeqd {a}, {pattern:x}",
                "pcmpeqd {c}, {pattern:x}",
                // From 32 bits of ones or zeros for each word to one.
                "movmskps {low:e}, {a}",
                "movmskps {high:e}, {c}",
                from = in(reg) from,
                high = inlateout(reg) (pattern >> 40) as u32 => high, low = lateout(reg) low,
                pattern = out(xmm_reg) _,
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack, preserves_flags, readonly),
            );
        }
        high << 4 | low
    }

    /// Whether the `len` bytes from `one` and from `other` on are the same.
    ///
    /// # Safety
    /// [`FAST`](super::FAST) is true, `len` is [`SHORTEST`](super::SHORTEST) to
    /// [`LONGEST`](super::LONGEST), and `len` bytes from each are readable during the call. Other
    /// processes and threads may write to them meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn same(one: *const u8, other: *const u8, len: usize) -> bool {
        debug_assert!((super::SHORTEST..=super::LONGEST).contains(&len));
        let found: u32;
        // SAFETY: reads the first and the last 16 of `len` bytes of both, which are all of them;
        // the caller has promised them, and that `len` is 16 at least. The moves need no alignment.
        // Writes only registers, which are all declared.
        unsafe {
            asm!(
                "movups {a}, [{one}]",
                "movups {b}, [{other}]",
                "movups {c}, [{one} + {len} - 16]",
                "movups {d}, [{other} + {len} - 16]",
                "pcmpeqb {a}, {b}",
                "pcmpeqb {c}, {d}",
                "pand {a}, {c}",
                "pmovmskb {found:e}, {a}",
                one = in(reg) one, other = in(reg) other, len = in(reg) len,
                found = lateout(reg) found,
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack, preserves_flags, readonly),
            );
        }
        found == 0xffff
    }

    /// Asks the processor to fetch the cache line of the byte at `at`, whatever `at` is.
    #[inline(always)]
    pub(crate) fn fetch(at: *const u8) {
        // SAFETY: a hint. It reads and writes nothing that the program could notice, and an address
        // that is not mapped is no fault (Intel SDM vol. 2, PREFETCHh).
        unsafe {
            asm!(
                "prefetcht0 [{at}]", at = in(reg) at,
                options(nostack, preserves_flags, readonly),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
mod none {
    // The first two are never called, since `FAST` is false.
    pub(crate) unsafe fn alike(_: *const u8, _: u64) -> u32 {
        0
    }

    pub(crate) unsafe fn same(_: *const u8, _: *const u8, _: usize) -> bool {
        false
    }

    #[inline]
    pub(crate) fn fetch(_: *const u8) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_with_the_same_high_bits_is_found_and_no_other() {
        if !FAST {
            return;
        }
        let pattern = 0x8000_01ff_0000_0001;
        // Bits 39 and 40 are at the border; the last two differ from the pattern by one bit.
        let others = [0, 1, u64::MAX, pattern ^ 1 << 63, pattern ^ 1 << 40];
        let sames =
            [pattern, pattern ^ 1 << 39, pattern & !0xff_ffff_ffff, pattern | 0xff_ffff_ffff];
        for found in 0..256 {
            for skip in [0, 1, 8, 13] {
                let mut bytes = vec![0xee; skip];
                for at in 0..8 {
                    let word = match found >> at & 1 {
                        0 => others[(found as usize + at) % others.len()],
                        _ => sames[(found as usize + at) % sames.len()],
                    };
                    bytes.extend(word.to_le_bytes());
                }
                // SAFETY: 64 bytes from `skip` on lie within the vector.
                let there = unsafe { alike(bytes.as_ptr().wrapping_add(skip), pattern) };
                assert_eq!(there, found, "{skip}");
            }
        }
    }

    #[test]
    fn bytes_are_the_same_only_if_each_is() {
        if !FAST {
            return;
        }
        for len in SHORTEST..=LONGEST {
            for skip in [0, 3, 8] {
                let one: Vec<u8> = (0..len).map(|at| at as u8 * 7).collect();
                let mut other = vec![0xee; skip];
                other.extend(&one);
                other.push(0xee);
                // SAFETY: `len` bytes lie within both.
                let are_same = |other: &[u8]| unsafe {
                    same(one.as_ptr(), other.as_ptr().wrapping_add(skip), len)
                };
                assert!(are_same(&other), "{len}");
                for bit in 0..len * 8 {
                    other[skip + bit / 8] ^= 1 << (bit % 8);
                    assert!(!are_same(&other), "{len} {bit}");
                    other[skip + bit / 8] ^= 1 << (bit % 8);
                }
            }
        }
    }

    #[test]
    fn any_address_may_be_fetched() {
        for at in [std::ptr::null(), std::ptr::without_provenance(usize::MAX), [0_u8; 1].as_ptr()] {
            fetch(at);
        }
    }
}
