//! Copies between shared memory and private buffers, as fast as `memcpy`.
//!
//! `memcpy` itself must not be used. To the compiler a race with another process is undefined
//! behaviour, and `memcpy` may access a byte twice or write an intermediate value. A loop over
//! atomic words is permitted, but the compiler does not merge it into wide moves: it takes three
//! times as long. So the moves are written in assembly, which the compiler does not analyze.
//! docs/UNSAFE.md describes the formal status.
//!
//! *Accessed bytes.* Each byte of the source and of the destination is accessed at least once, and
//! no other byte. Overlapping moves cover the ends, so some bytes are accessed twice; a byte that
//! is written twice gets the same value each time. If the address of the destination and the length
//! are multiples of 8, all writes are of whole aligned words.
//!
//! *Order.* These are plain loads and stores of large width. On x86-64 that is enough for the order
//! with earlier and later accesses: "loads are not reordered with other loads, stores are not
//! reordered with other stores" nor with older loads, whatever their width (Intel SDM vol. 3A,
//! "Memory ordering in P6 and more recent processor families"; AMD APM vol. 2, 7.1). The copies use
//! none of the exceptions in that section: no non-temporal moves, and no string instructions, whose
//! stores may be out of order among themselves. (`rep movsb` was measured. From 4 KiB up it is no
//! faster, and it is half as fast if source and destination differ in their position within a cache
//! line.) On arm64 the accesses are unordered, like relaxed atomics, and the surrounding fences and
//! Release stores order plain accesses too (`dmb ishld`, `dmb ish`, `stlr`). To the compiler each
//! block may access any memory, so it moves no other access across a block.

#![allow(unsafe_code, reason = "assembly")]

/// The minimum length of these copies; shorter ones are one or two words.
pub(crate) const SHORTEST: usize = 16;

/// Whether this target has an assembly version.
pub(crate) const FAST: bool = cfg!(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_endian = "little",
    // x32, and arm64 with pointers of 32 bits.
    target_pointer_width = "64",
    not(miri)
));

/// Copies `len` bytes, at least [`SHORTEST`].
///
/// # Safety
/// [`FAST`] is true. During the call `len` bytes from `from` on are readable and `len` bytes from
/// `to` on are writable, no reference to non-atomic memory aliases them, and the two ranges do not
/// overlap. Other processes and threads may access shared memory meanwhile, by atomics or by this
/// function.
#[inline]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    debug_assert!(FAST && len >= SHORTEST);
    if len <= 32 {
        // SAFETY: 16 to 32 bytes: the first and the last 16.
        unsafe { imp::up_to_32(from, to, len) };
    } else if len <= 64 {
        // SAFETY: 32 to 64 bytes: the first and the last 32.
        unsafe { imp::up_to_64(from, to, len) };
    } else {
        // SAFETY: more than 64 bytes.
        unsafe { imp::more(from, to, len) };
    }
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
mod imp {
    use std::arch::asm;

    #[inline]
    pub(super) unsafe fn up_to_32(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: reads the first and last 16 of `len` bytes and writes those; the caller has
        // promised both ranges, and that `len` is 16 at least.
        unsafe {
            asm!(
                "movups {a}, [{from}]",
                "movups {b}, [{from} + {len} - 16]",
                "movups [{to}], {a}",
                "movups [{to} + {len} - 16], {b}",
                from = in(reg) from, to = in(reg) to, len = in(reg) len,
                a = out(xmm_reg) _, b = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline]
    pub(super) unsafe fn up_to_64(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: reads the first and last 32 of `len` bytes and writes those; the caller has
        // promised both ranges, and that `len` is 32 at least.
        unsafe {
            asm!(
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + {len} - 32]",
                "movups {d}, [{from} + {len} - 16]",
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + {len} - 32], {c}",
                "movups [{to} + {len} - 16], {d}",
                from = in(reg) from, to = in(reg) to, len = in(reg) len,
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(never)]
    pub(super) unsafe fn more(from: *const u8, to: *mut u8, len: usize) {
        if len > 128 && std::arch::is_x86_feature_detected!("avx") {
            if len <= 256 {
                // SAFETY: 128 to 256 bytes, and the processor and system have AVX.
                unsafe { up_to_256(from, to, len) };
                return;
            }
            // Processors first compare a load with earlier stores by the lowest 12 bits of their
            // addresses. If the destination lies a little further in its page than the source, each
            // load of an ascending copy seems to depend on the store just before it, and takes four
            // times as long. A descending copy avoids that. (glibc's `memcpy` does the same.)
            if to.addr().wrapping_sub(from.addr()) & 0xfff < 512 {
                // SAFETY: as above, with more than 256 bytes.
                unsafe { by_32_down(from, to, len) };
            } else if (LEAST_BY_64..=MOST_BY_64).contains(&len)
                && std::arch::is_x86_feature_detected!("avx512vbmi2")
            {
                // SAFETY: as above, and the processor and system have AVX-512.
                unsafe { by_64(from, to, len) };
            } else {
                // SAFETY: as above.
                unsafe { by_32(from, to, len) };
            }
        } else {
            // SAFETY: more than 64 bytes.
            unsafe { by_16(from, to, len) };
        }
    }

    /// From here on moves of 64 bytes were faster than those of 32.
    const LEAST_BY_64: usize = 1 << 10;

    /// Up to here they were; beyond, the caches decide.
    ///
    /// They are made only where the processor has AVX-512 VBMI2, which the first processors with
    /// AVX-512 have not: those lower their clock for such moves.
    const MOST_BY_64: usize = 16 << 10;

    unsafe fn by_16(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: `at` goes up from 0 by 64 while it is below `len - 64`, so that each step is of
        // 64 bytes within `len`; then come the last 64. The caller has promised both ranges, and
        // that `len` is more than 64.
        unsafe {
            asm!(
                "2:",
                "movups {a}, [{from} + {at}]",
                "movups {b}, [{from} + {at} + 16]",
                "movups {c}, [{from} + {at} + 32]",
                "movups {d}, [{from} + {at} + 48]",
                "movups [{to} + {at}], {a}",
                "movups [{to} + {at} + 16], {b}",
                "movups [{to} + {at} + 32], {c}",
                "movups [{to} + {at} + 48], {d}",
                "add {at}, 64",
                "cmp {at}, {last}",
                "jb 2b",
                "movups {a}, [{from} + {last}]",
                "movups {b}, [{from} + {last} + 16]",
                "movups {c}, [{from} + {last} + 32]",
                "movups {d}, [{from} + {last} + 48]",
                "movups [{to} + {last}], {a}",
                "movups [{to} + {last} + 16], {b}",
                "movups [{to} + {last} + 32], {c}",
                "movups [{to} + {last} + 48], {d}",
                from = in(reg) from, to = in(reg) to,
                at = inout(reg) 0_usize => _, last = in(reg) len - 64,
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack),
            );
        }
    }

    unsafe fn up_to_256(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: reads the first and last 128 of `len` bytes and writes those; the caller has
        // promised both ranges, that `len` is 128 at least, and that there is AVX. `vzeroupper`
        // changes the upper halves of all vector registers, which are all declared.
        unsafe {
            asm!(
                "vmovups ymm0, [{from}]",
                "vmovups ymm1, [{from} + 32]",
                "vmovups ymm2, [{from} + 64]",
                "vmovups ymm3, [{from} + 96]",
                "vmovups ymm4, [{from} + {len} - 128]",
                "vmovups ymm5, [{from} + {len} - 96]",
                "vmovups ymm6, [{from} + {len} - 64]",
                "vmovups ymm7, [{from} + {len} - 32]",
                "vmovups [{to}], ymm0",
                "vmovups [{to} + 32], ymm1",
                "vmovups [{to} + 64], ymm2",
                "vmovups [{to} + 96], ymm3",
                "vmovups [{to} + {len} - 128], ymm4",
                "vmovups [{to} + {len} - 96], ymm5",
                "vmovups [{to} + {len} - 64], ymm6",
                "vmovups [{to} + {len} - 32], ymm7",
                "vzeroupper",
                from = in(reg) from, to = in(reg) to, len = in(reg) len,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack, preserves_flags),
            );
        }
    }

    unsafe fn by_32(from: *const u8, to: *mut u8, len: usize) {
        // End of the first step, chosen so that the stores of the following steps are aligned.
        let aligned = 32 - (to.addr() & 31);
        // SAFETY: first come 32 bytes. Then `at` goes up from at most 32 by 128 while it is below
        // `len - 128`, so that each step is of 128 bytes within `len`; then come the last 128. The
        // caller has promised both ranges, that `len` is more than 128, and that there is AVX.
        // `vzeroupper` changes the upper halves of all vector registers, which are all declared.
        unsafe {
            asm!(
                "vmovups ymm0, [{from}]",
                "vmovups [{to}], ymm0",
                "jmp 3f",
                "2:",
                "vmovups ymm0, [{from} + {at}]",
                "vmovups ymm1, [{from} + {at} + 32]",
                "vmovups ymm2, [{from} + {at} + 64]",
                "vmovups ymm3, [{from} + {at} + 96]",
                "vmovups [{to} + {at}], ymm0",
                "vmovups [{to} + {at} + 32], ymm1",
                "vmovups [{to} + {at} + 64], ymm2",
                "vmovups [{to} + {at} + 96], ymm3",
                "add {at}, 128",
                "3:",
                "cmp {at}, {last}",
                "jb 2b",
                "vmovups ymm0, [{from} + {last}]",
                "vmovups ymm1, [{from} + {last} + 32]",
                "vmovups ymm2, [{from} + {last} + 64]",
                "vmovups ymm3, [{from} + {last} + 96]",
                "vmovups [{to} + {last}], ymm0",
                "vmovups [{to} + {last} + 32], ymm1",
                "vmovups [{to} + {last} + 64], ymm2",
                "vmovups [{to} + {last} + 96], ymm3",
                "vzeroupper",
                from = in(reg) from, to = in(reg) to,
                at = inout(reg) aligned => _, last = in(reg) len - 128,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack),
            );
        }
    }

    unsafe fn by_64(from: *const u8, to: *mut u8, len: usize) {
        // End of the first step, chosen so that the stores of the following steps are aligned.
        let aligned = 64 - (to.addr() & 63);
        // SAFETY: first come 64 bytes. Then `at` goes up from at most 64 by 256 while it is below
        // `len - 256`, so that each step is of 256 bytes within `len`; then come the last 256. The
        // caller has promised both ranges, that `len` is more than 256, and that there is AVX-512.
        // Only registers from 16 on are written, so no `vzeroupper` is needed.
        unsafe {
            asm!(
                "vmovups zmm16, [{from}]",
                "vmovups [{to}], zmm16",
                "jmp 3f",
                "2:",
                "vmovups zmm16, [{from} + {at}]",
                "vmovups zmm17, [{from} + {at} + 64]",
                "vmovups zmm18, [{from} + {at} + 128]",
                "vmovups zmm19, [{from} + {at} + 192]",
                "vmovups [{to} + {at}], zmm16",
                "vmovups [{to} + {at} + 64], zmm17",
                "vmovups [{to} + {at} + 128], zmm18",
                "vmovups [{to} + {at} + 192], zmm19",
                "add {at}, 256",
                "3:",
                "cmp {at}, {last}",
                "jb 2b",
                "vmovups zmm16, [{from} + {last}]",
                "vmovups zmm17, [{from} + {last} + 64]",
                "vmovups zmm18, [{from} + {last} + 128]",
                "vmovups zmm19, [{from} + {last} + 192]",
                "vmovups [{to} + {last}], zmm16",
                "vmovups [{to} + {last} + 64], zmm17",
                "vmovups [{to} + {last} + 128], zmm18",
                "vmovups [{to} + {last} + 192], zmm19",
                from = in(reg) from, to = in(reg) to,
                at = inout(reg) aligned => _, last = in(reg) len - 256,
                out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
                options(nostack),
            );
        }
    }

    unsafe fn by_32_down(from: *const u8, to: *mut u8, len: usize) {
        // End of the first step, which copies the last 32 bytes, chosen so that the stores of the
        // following steps are aligned: 0 to 31 bytes before the end of the destination.
        let aligned = len - ((to.addr() + len) & 31);
        // SAFETY: first come the last 32 bytes. Then `at` goes down from at most `len` by 128 while
        // it is above 128, so that each step is of 128 bytes within `len`; then come the first 128.
        // The caller has promised both ranges, that `len` is more than 128, and that there is AVX.
        // `vzeroupper` changes the upper halves of all vector registers, which are all declared.
        unsafe {
            asm!(
                "vmovups ymm0, [{from} + {len} - 32]",
                "vmovups [{to} + {len} - 32], ymm0",
                "jmp 3f",
                "2:",
                "vmovups ymm0, [{from} + {at} - 32]",
                "vmovups ymm1, [{from} + {at} - 64]",
                "vmovups ymm2, [{from} + {at} - 96]",
                "vmovups ymm3, [{from} + {at} - 128]",
                "vmovups [{to} + {at} - 32], ymm0",
                "vmovups [{to} + {at} - 64], ymm1",
                "vmovups [{to} + {at} - 96], ymm2",
                "vmovups [{to} + {at} - 128], ymm3",
                "sub {at}, 128",
                "3:",
                "cmp {at}, 128",
                "ja 2b",
                "vmovups ymm0, [{from} + 96]",
                "vmovups ymm1, [{from} + 64]",
                "vmovups ymm2, [{from} + 32]",
                "vmovups ymm3, [{from}]",
                "vmovups [{to} + 96], ymm0",
                "vmovups [{to} + 64], ymm1",
                "vmovups [{to} + 32], ymm2",
                "vmovups [{to}], ymm3",
                "vzeroupper",
                from = in(reg) from, to = in(reg) to,
                at = inout(reg) aligned => _, len = in(reg) len,
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nostack),
            );
        }
    }

    #[cfg(test)]
    pub(super) const MORE: [unsafe fn(*const u8, *mut u8, usize); 2] = [by_16, more];
}

#[cfg(all(
    target_arch = "aarch64",
    target_endian = "little",
    target_pointer_width = "64",
    not(miri)
))]
mod imp {
    use std::arch::asm;

    #[inline]
    pub(super) unsafe fn up_to_32(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: reads the first and last 16 of `len` bytes and writes those; the caller has
        // promised both ranges, and that `len` is 16 at least.
        unsafe {
            asm!(
                "ldr {a:q}, [{from}]",
                "ldr {b:q}, [{from}, {last}]",
                "str {a:q}, [{to}]",
                "str {b:q}, [{to}, {last}]",
                from = in(reg) from, to = in(reg) to, last = in(reg) len - 16,
                a = out(vreg) _, b = out(vreg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline]
    pub(super) unsafe fn up_to_64(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: reads the first and last 32 of `len` bytes and writes those; the caller has
        // promised both ranges, and that `len` is 32 at least.
        unsafe {
            asm!(
                "ldp {a:q}, {b:q}, [{from}]",
                "add {end}, {from}, {len}",
                "ldp {c:q}, {d:q}, [{end}, #-32]",
                "stp {a:q}, {b:q}, [{to}]",
                "add {end}, {to}, {len}",
                "stp {c:q}, {d:q}, [{end}, #-32]",
                from = in(reg) from, to = in(reg) to, len = in(reg) len, end = out(reg) _,
                a = out(vreg) _, b = out(vreg) _, c = out(vreg) _, d = out(vreg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(never)]
    pub(super) unsafe fn more(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: `from` and `to` go up by 64 while more than 64 bytes are left, so that each step
        // is within `len`; then come the last 64. The caller has promised both ranges, and that
        // `len` is more than 64.
        unsafe {
            asm!(
                "2:",
                "ldp {a:q}, {b:q}, [{from}]",
                "ldp {c:q}, {d:q}, [{from}, #32]",
                "add {from}, {from}, #64",
                "stp {a:q}, {b:q}, [{to}]",
                "stp {c:q}, {d:q}, [{to}, #32]",
                "add {to}, {to}, #64",
                "cmp {from}, {last}",
                "b.lo 2b",
                "ldp {a:q}, {b:q}, [{last}]",
                "ldp {c:q}, {d:q}, [{last}, #32]",
                "stp {a:q}, {b:q}, [{last_to}]",
                "stp {c:q}, {d:q}, [{last_to}, #32]",
                from = inout(reg) from => _, to = inout(reg) to => _,
                last = in(reg) from.wrapping_add(len - 64),
                last_to = in(reg) to.wrapping_add(len - 64),
                a = out(vreg) _, b = out(vreg) _, c = out(vreg) _, d = out(vreg) _,
                options(nostack),
            );
        }
    }

    #[cfg(test)]
    pub(super) const MORE: [unsafe fn(*const u8, *mut u8, usize); 1] = [more];
}

#[cfg(not(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_endian = "little",
    target_pointer_width = "64",
    not(miri)
)))]
mod imp {
    // Never called, since `FAST` is false.
    pub(super) unsafe fn up_to_32(_: *const u8, _: *mut u8, _: usize) {}
    pub(super) unsafe fn up_to_64(_: *const u8, _: *mut u8, _: usize) {}
    pub(super) unsafe fn more(_: *const u8, _: *mut u8, _: usize) {}

    #[cfg(test)]
    pub(super) const MORE: [unsafe fn(*const u8, *mut u8, usize); 0] = [];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_what_memcpy_would_and_nothing_else() {
        if !FAST {
            return;
        }
        let source: Vec<u8> = (0..17_100_usize).map(|at| (at * 7 + at / 256) as u8).collect();
        let check = |function: unsafe fn(*const u8, *mut u8, usize), len: usize| {
            for (from, to) in
                [(0, 0), (0, 8), (8, 0), (3, 0), (40, 56), (1, 31), (31, 33), (600, 90)]
            {
                let mut target = vec![0xee; len + 160];
                let first = source.as_ptr().wrapping_add(from);
                // SAFETY: both ranges lie within their vectors.
                unsafe { function(first, target.as_mut_ptr().wrapping_add(to), len) };
                assert_eq!(target[to..to + len], source[from..from + len], "{len} {from} {to}");
                let around = target[..to].iter().chain(&target[to + len..]);
                assert!(around.into_iter().all(|byte| *byte == 0xee), "{len} {from} {to}");
            }
        };
        for len in (SHORTEST..1200).chain([2047, 4096, 4100, 16_384, 16_385]) {
            check(copy, len);
            for more in imp::MORE {
                if len > 64 {
                    check(more, len);
                }
            }
        }
    }
}
