//! The words of a region: their kinds, and where a model keeps their values.

use mapvar_engine::layout;

/// The kind of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Root,
    IndexSeq,
    Index,
    State,
    Id,
    Meta,
    Name,
    Version,
    Desc,
    Type,
    Data,
    /// Any lock word.
    Lock,
    /// A lock word at which a mark is set or removed.
    Mark,
    /// A wake word.
    Wake,
    /// The ring of changes, and its head. A model that does not name them has nobody who reads
    /// them, and what is added is not kept.
    Ring,
    /// The words by which variables are counted; as with the ring.
    Turns,
    Other,
}

/// Where the model keeps a word's value.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Fixed,
    Hot(usize),
    Cold(usize),
}

/// Number of lines of the largest index that a model builds.
const MOST_LINES: u64 = 32;

/// Returns the kind of the word at index `at`, in a chunk of this kind. `index` are the offsets
/// where an index begins or may begin.
pub fn kind_of(at: usize, index: &[u64], chunk: u64) -> On {
    use layout::{live, record, slot};
    let byte = at as u64 * 8;
    if byte == live::AT + live::ROOT as u64 * 8 {
        return On::Root;
    }
    if byte == live::AT + live::INDEX_SEQ as u64 * 8 {
        return On::IndexSeq;
    }
    let ring = layout::ring::AT..layout::ring::AT + layout::ring::WORDS as u64 * 8;
    if byte == live::AT + live::CHANGES as u64 * 8 || ring.contains(&byte) {
        return On::Ring;
    }
    let turns = layout::turns::AT..layout::turns::AT + layout::turns::WORDS as u64 * 8;
    let counts = [live::BORN, live::NET, live::LOST].map(|word| live::AT + word as u64 * 8);
    if counts.contains(&byte) || turns.contains(&byte) {
        return On::Turns;
    }
    if index.iter().any(|line| (*line..*line + MOST_LINES * 64).contains(&byte)) {
        return On::Index;
    }
    let (kind, class) = (chunk & 0xff, (chunk >> 8) as usize & 0xff);
    let Some(within) = (byte % layout::CHUNK).checked_sub(layout::CHUNK_HEADER) else {
        return On::Other;
    };
    if kind != layout::kind::RECORDS {
        return On::Other;
    }
    let word = within as usize % layout::record_bytes(class) / 8;
    match word.checked_sub(record::LINE) {
        None => match word {
            record::STATE => On::State,
            record::ID => On::Id,
            record::META => On::Meta,
            record::NAME.. => On::Name,
            _ => On::Other,
        },
        Some(of_slots) => match of_slots % (layout::slot_bytes(class) / 8) {
            slot::VERSION => On::Version,
            slot::DESC => On::Desc,
            slot::TYPE => On::Type,
            slot::SEAL => On::Other,
            _ => On::Data,
        },
    }
}
