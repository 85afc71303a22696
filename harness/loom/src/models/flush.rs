//! The dirty summary: it leads a flush to every record that was marked.

use super::{holds, model, process, set_thrice};
use crate::{
    check::{Body, Case},
    mem::Ways,
    setup::{Region, record},
};
use loom::thread;
use mapvar_engine::{
    layout::{self, CHUNK, dirty, summary},
    mem::{Load as _, Mem as _, Ordering::Relaxed},
};

/// `a` is flushed, and its chunk still has its bit in the summary.
fn region() -> Region {
    let number = record(0) / CHUNK;
    let words = dirty::at(number) as usize / 8;
    let (word, bit) = summary::place(number);
    let summary = summary::DIRTY as usize / 8 + word;
    Region::new(|store| set_thrice(store, "a")).poke(summary, bit).hot([
        summary,
        words + dirty::DIRTY,
        words + dirty::FLUSHING,
    ])
}

/// A flush ends while a writer marks a record, after another one that may die at some step.
fn marks(ways: &Ways) -> Body {
    let ways = ways.clone();
    model(region(), move |shared, step| {
        let at = record(0);
        let flusher = process(shared, 10, &ways);
        let flusher = thread::spawn(move || flusher.settle().expect("a region"));
        let mortal = process(shared, 1, &ways.clone().dies(step));
        mortal.mem().mortal(|| mortal.mark_dirty(at));
        let writer = process(shared, 2, &ways);
        writer.mark_dirty(at).expect("it is mapped");
        flusher.join().expect("the flusher");
        let bit = layout::dirty_bit(at);
        let (word, of_chunk) = summary::place(at / CHUNK);
        let mem = writer.mem();
        let words = mem.words(dirty::at(at / CHUNK), dirty::WORDS).expect("its words");
        let summary = mem.words(summary::DIRTY, summary::WORDS).expect("the summary");
        assert!(words.load(dirty::DIRTY, Relaxed) & bit != 0, "LOST: the dirty bit");
        assert!(summary.load(word, Relaxed) & of_chunk != 0, "LOST: the bit of the summary");
    })
}

/// Loom runs the read-modify-writes of a thread in their order whatever their orderings, so no case
/// leaves one out.
pub fn cases() -> Vec<Case> {
    vec![holds("flush: a mark beside its end", marks(&Ways::default())).dies()]
}
