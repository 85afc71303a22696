//! The words of a region: what each is, and where its value is in a model.

use mapvar_engine::layout;

/// What a word is.
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
    /// A lock word, whichever.
    Lock,
    /// A lock word into which a mark is put, or from which it is taken.
    Mark,
    /// A wake word.
    Wake,
    Other,
}

/// Where a word's value is.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Fixed,
    Hot(usize),
    Cold(usize),
}

/// Lines of the largest index that a model makes.
const MOST_LINES: u64 = 8;

/// What the word at index `at` is, in a chunk of this kind; `index` are the places
/// where an index begins, or may.
pub fn kind_of(at: usize, index: &[u64], chunk: u64) -> On {
    use layout::{live, record, slot};
    let byte = at as u64 * 8;
    if byte == live::AT + live::ROOT as u64 * 8 {
        return On::Root;
    }
    if byte == live::AT + live::INDEX_SEQ as u64 * 8 {
        return On::IndexSeq;
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
