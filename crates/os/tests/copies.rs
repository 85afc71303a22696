//! Compares the speed of copies with that of `memcpy` within one run: a measurement, not a test.
//!
//! `cargo test --release -p mapvar-os --test copies -- --ignored --nocapture`

#![allow(unsafe_code, reason = "memcpy, to compare with")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]
#![allow(clippy::cast_precision_loss, reason = "of times and lengths")]

use mapvar_os::{Access, Section, View};
use std::{hint::black_box, time::Instant};

fn best(rounds: usize, calls: usize, ways: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let mut best = vec![f64::MAX; ways.len()];
    for _ in 0..rounds {
        for (way, best) in ways.iter_mut().zip(&mut best) {
            let began = Instant::now();
            for _ in 0..calls {
                way();
            }
            *best = best.min(began.elapsed().as_nanos() as f64 / calls as f64);
        }
    }
    best
}

#[test]
#[ignore = "a measurement of a minute: cargo test --release -p mapvar-os --test copies -- --ignored --nocapture"]
fn ratios_to_memcpy() {
    const MOST: usize = 64 << 20;
    let section = Section::options().size(MOST as u64 + 4096).create().unwrap();
    let view: View = section.view().access(Access::ReadWrite).map().unwrap();
    let mut private = vec![1_u8; MOST + 4096];
    view.write_at(0, &private).unwrap();
    println!("goal: at least 0.95 from 4096 bytes up; get of 64 bytes in about 3 ns");
    for offset in [0, 8] {
        println!("at byte {offset} of the section: ns by memcpy; then ns, and memcpy's time by it");
        for len in [16, 64, 256, 1024, 4096, 65_536, 1 << 20, MOST] {
            let calls = ((1 << 27) / len).clamp(1, 200_000);
            let rounds = if len == MOST { 9 } else { 25 };
            let shared = view.as_ptr().wrapping_add(offset);
            let private = &mut private[64..64 + len];
            let (to, from) = (private.as_mut_ptr(), private.as_ptr());
            // SAFETY: both ranges have `len` bytes, and no other code uses them meanwhile.
            let mut out = || unsafe { shared.copy_to_nonoverlapping(to, black_box(len)) };
            let words = view.words(offset, len / 8).unwrap();
            // SAFETY: as above; the three ways are called one after the other.
            let buffer = || unsafe { std::slice::from_raw_parts_mut(to, black_box(len)) };
            let mut by_read = || view.read_at(offset, buffer()).unwrap();
            let mut by_words = || words.copy_to(buffer());
            let read = best(rounds, calls, &mut [&mut out, &mut by_read, &mut by_words]);
            // SAFETY: as above.
            let mut into = || unsafe { shared.copy_from_nonoverlapping(from, black_box(len)) };
            let words = view.words_mut(offset, len / 8).unwrap();
            // SAFETY: as above.
            let buffer = || unsafe { std::slice::from_raw_parts(from, black_box(len)) };
            let mut by_write = || view.write_at(offset, buffer()).unwrap();
            let mut by_words = || words.copy_from(buffer());
            let written = best(rounds, calls, &mut [&mut into, &mut by_write, &mut by_words]);
            print!("{len:>9}");
            for (how, [memcpy, at, words]) in [("out", &read[..]), ("in", &written[..])]
                .map(|(how, times)| (how, [times[0], times[1], times[2]]))
            {
                print!("  {how}: {memcpy:9.1}");
                print!("  _at {at:9.1} {:.2}", memcpy / at);
                print!("  words {words:9.1} {:.2}", memcpy / words);
            }
            println!();
        }
    }
}
