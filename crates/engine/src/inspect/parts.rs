//! The validity of a region's parts, each judged by its own words: for `check` and `salvage`, which
//! trust nothing that another part says.

use crate::{
    handle::Handle,
    header::{chunk_crc, meta_crc},
    index::inline_bytes,
    inspect::IsMessagePack,
    layout::{self, Desc, Meta, chunk, extent, kind, record, slot},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed},
    },
    store::Store,
    value::{Data, Kind, OwnedValue, SlotView},
};

/// The header of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkHeader {
    /// A valid header: kind and class.
    Good(u64, usize),
    /// An invalid header: what is wrong with it.
    Bad(&'static str),
    /// No header.
    None,
}

/// The content at the position of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// No variable.
    Free {
        /// Whether it was an `Atomic`'s, whose record is kept.
        atomic: bool,
    },
    /// A variable, with its name.
    Variable(Handle, String),
    /// A removed variable that the file still needs.
    Retired(Handle, String),
    /// A fault: its offset, what is wrong, and the name as far as it is readable.
    Flawed(u64, &'static str, Option<String>),
}

/// The content of a slot.
#[derive(Clone, Debug)]
pub enum SlotContent {
    /// Nothing: the slot was never written, or is being written.
    Nothing,
    /// The tombstone of a removed variable.
    Tombstone,
    /// A valid value.
    Value(OwnedValue),
    /// A valid ephemeral value: the token of its owner process.
    Ephemeral(u64),
    /// A fault: its offset, and what is wrong.
    Flawed(u64, String),
}

impl<M: Mem> Store<M> {
    /// Validates the header of chunk `number`.
    pub fn chunk_says(&self, number: u64) -> ChunkHeader {
        let Some(words) = self.mem.words(number * layout::CHUNK, chunk::WORDS) else {
            return ChunkHeader::None;
        };
        let [mark, said, uuid, crc, id] =
            [chunk::MARK, chunk::NUMBER, chunk::UUID, chunk::CRC, chunk::ID]
                .map(|word| words.load(word, Relaxed));
        if mark & 0xffff_ffff != chunk::MAGIC {
            return ChunkHeader::None;
        }
        let (kind, class) = (mark >> 32 & 0xff, (mark >> 40) as usize & 0xff);
        let id = if layout::has_id(kind, class) { id } else { 0 };
        if crc != chunk_crc(mark, said, uuid, id) {
            ChunkHeader::Bad("the checksum of the chunk's header is wrong")
        } else if said != number {
            ChunkHeader::Bad("the chunk's header is another chunk's")
        } else if uuid != self.uuid {
            ChunkHeader::Bad("the chunk's header is another map's")
        } else {
            ChunkHeader::Good(kind, class)
        }
    }

    /// Validates the record of `class` at `at`.
    pub fn place(&self, at: u64, class: usize) -> RecordState {
        let Some(line) = self.mem.words(at, record::LINE) else {
            return RecordState::Flawed(at, "the record lies beyond the end", None);
        };
        let id = line.load(record::ID, Acquire);
        let meta = Meta(line.load(record::META, Relaxed));
        if id == 0 {
            return RecordState::Free { atomic: meta.is_known() && meta.atomic() };
        }
        let name = self.name_of(at);
        let text = name.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
        let flawed =
            |word: usize, what| RecordState::Flawed(at + word as u64 * 8, what, text.clone());
        if !meta.is_known() {
            return flawed(record::META, "the record has a flag that this version does not know");
        }
        if meta.class() != class {
            return flawed(record::META, "the record is not of its chunk's class");
        }
        let Some(name) = name else {
            return flawed(record::META, "the length or the location of the name is invalid");
        };
        if meta.crc() != meta_crc(id, meta, &name) {
            return flawed(record::META, "the checksum of id and name is wrong");
        }
        let Ok(name) = String::from_utf8(name) else {
            return flawed(record::NAME, "the name is no UTF-8");
        };
        let Some(handle) = Handle::checked(at, id, meta, &self.mem) else {
            return flawed(record::META, "the record lies beyond the end");
        };
        if id & record::RETIRED != 0 {
            return RecordState::Retired(handle, name);
        }
        RecordState::Variable(handle, name)
    }

    /// Returns the offset of the block with the record's name; 0 if the name lies in the record.
    pub fn block_of(&self, at: u64) -> u64 {
        let Some(line) = self.mem.words(at, record::LINE) else { return 0 };
        let meta = Meta(line.load(record::META, Relaxed));
        let inline = inline_bytes(meta);
        if meta.name_len() <= inline {
            return 0;
        }
        line.load(record::NAME + inline / 8 - 1, Relaxed)
    }

    /// Validates slot `number` of a record. A writer may change it meanwhile; the caller compares
    /// the slot's version and the record's id afterwards.
    pub fn held(
        &self,
        handle: Handle,
        number: usize,
        is_message_pack: IsMessagePack,
    ) -> SlotContent {
        let at = handle.slot_at(number);
        let Some(words) = self.mem.words(at, slot::LEAST) else {
            return SlotContent::Flawed(at, "the slot lies beyond the end".into());
        };
        if words.load(slot::VERSION, Acquire) == slot::INVALID {
            return SlotContent::Nothing;
        }
        let desc = Desc(words.load(slot::DESC, Relaxed));
        let flawed =
            |word: usize, what: &str| SlotContent::Flawed(at + word as u64 * 8, what.into());
        if !desc.is_known() {
            return flawed(slot::DESC, "the slot has a flag that this version does not know");
        }
        if desc.kind() == slot::TOMBSTONE {
            return SlotContent::Tombstone;
        }
        let Some(kind) = Kind::of(desc.kind()) else {
            return flawed(slot::DESC, "the value is of a kind that this version does not know");
        };
        let (data, room) = if handle.atomic {
            if !matches!(kind, Kind::Bool | Kind::I64 | Kind::U64 | Kind::F64) {
                return flawed(slot::DESC, "an Atomic is of a kind that it cannot be of");
            }
            (handle.at + record::VALUE_AT, 8)
        } else if desc.is_extent() {
            if !self.is_headed(words.load(slot::DATA, Relaxed), handle) {
                return flawed(slot::DATA, "the slot refers to an extent that is not its own");
            }
            if desc.len() > self.extent_capacity(words.load(slot::DATA, Relaxed)) {
                return flawed(slot::DESC, "the value is longer than its extent");
            }
            self.referred(words, desc)
        } else {
            (at + slot::DATA_AT, handle.room())
        };
        if desc.len() > room as u64 {
            return flawed(slot::DESC, "the value is longer than its slot");
        }
        let view = SlotView { mem: &self.mem, desc, slot: words, data, room, type_id: None };
        let before = desc.words_before_owner() * 8;
        if desc.is_ephemeral() && (handle.atomic || before >= handle.room() as u64) {
            return flawed(slot::DESC, "the slot has no space for the token of its owner process");
        }
        let captured = match view.capture() {
            Ok(captured) => captured,
            Err(trouble) => {
                let error = trouble.during("read", String::new());
                return SlotContent::Flawed(at, error.to_string());
            }
        };
        if !desc.is_extent() && !handle.atomic && !self.is_padded(data, desc.len()) {
            return flawed(slot::DATA, "what follows the value is not zero");
        }
        match content_flaw(kind, &captured, is_message_pack) {
            Some(what) => flawed(slot::DATA, what),
            None if desc.is_ephemeral() => SlotContent::Ephemeral(self.owner_at(at, desc)),
            None => SlotContent::Value(captured),
        }
    }

    /// Whether the head before the data of an extent names this variable.
    pub fn is_headed(&self, data: u64, handle: Handle) -> bool {
        let head = data.checked_sub(extent::HEAD);
        head.and_then(|at| self.mem.words(at, extent::WORDS)).is_some_and(|head| {
            head.load(extent::RECORD, Relaxed) == handle.at
                && head.load(extent::ID, Relaxed) == handle.id & !record::RETIRED
        })
    }

    /// Returns how many bytes the extent whose data begin at `data` can have, by the header of its
    /// chunk; without a valid header, any number. The bound keeps a forged extent from overlapping
    /// many others, and so bounds the time to read them all.
    fn extent_capacity(&self, data: u64) -> u64 {
        let number = data / layout::CHUNK;
        match self.chunk_says(number) {
            ChunkHeader::Good(kind::EXTENTS, class) => {
                let bytes = layout::EXTENT_CLASSES.get(class);
                bytes.map_or(0, |bytes| *bytes as u64 - extent::HEAD)
            }
            ChunkHeader::Good(kind::RUN, _) => match self.chunk_kind(number) {
                Ok((kind::RUN, _)) => {
                    self.run_len(number).map_or(0, |span| span.saturating_mul(layout::CHUNK))
                }
                _ => u64::MAX,
            },
            ChunkHeader::Good(..) => 0,
            ChunkHeader::Bad(_) | ChunkHeader::None => u64::MAX,
        }
    }

    /// Whether zeros pad the last word of `len` bytes from `at`.
    fn is_padded(&self, at: u64, len: u64) -> bool {
        let bits = len % 8 * 8;
        bits == 0
            || self
                .mem
                .words(at + len / 8 * 8, 1)
                .is_some_and(|word| word.load(0, Relaxed) >> bits == 0)
    }
}

/// Returns what is wrong with the bytes of a value, if they are invalid for its kind.
fn content_flaw(
    kind: Kind,
    captured: &OwnedValue,
    is_message_pack: IsMessagePack,
) -> Option<&'static str> {
    if captured.kind != kind as u8 {
        return Some("the value's length is not one of its kind");
    }
    match (kind, &captured.data) {
        (Kind::Bool, Data::Word(word)) if *word > 1 => Some("a bool is neither 0 nor 1"),
        (Kind::Str, Data::Bytes(bytes)) if std::str::from_utf8(bytes).is_err() => {
            Some("the text is no UTF-8")
        }
        (Kind::List | Kind::Dict, Data::Bytes(bytes)) => {
            let dict = matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf));
            if (kind == Kind::Dict) != dict {
                return Some("the MessagePack is not of the value's kind");
            }
            let whole = is_message_pack(bytes);
            (!whole).then_some("the MessagePack is invalid")
        }
        _ => None,
    }
}
