//! A Hash of variables.

use super::{
    parse_error::ParseError,
    scan::{HEAD, Scan},
    tree::{Tree, encode::encode, view::view},
    walk::Task,
    write::{Copier, Writer, alone, enough},
};

/// A Hash with Strings for keys, whose entries are called variables. Those that are not changed keep
/// their bytes.
///
/// ```
/// use mapvar_marshal::{Dump, Value};
/// let mut hash = Dump::new();
/// hash.set("foo", &Value::I64(77))?;
/// assert_eq!(hash.encode(), b"\x04\x08{\x06I\"\x08foo\x06:\x06ETiR");
/// assert_eq!(hash.value("foo")?, Some(Value::I64(77)));
/// assert!(hash.remove("foo")? && hash.is_empty());
/// # Ok::<(), mapvar_marshal::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dump {
    scan: Scan,
    /// Position of the Hash's type letter. Prefixes may precede it, which is rare.
    letter: usize,
    entries: Vec<Entry>,
    /// The end of the last entry.
    tail: usize,
    /// The shown entries, sorted by name.
    index: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where the key and the value begin.
    key: u32,
    value: u32,
    /// Position and length of the name's text.
    name: u32,
    len: u32,
    shown: Shown,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shown {
    Yes,
    /// A later entry has the same name. Ruby never writes such a Hash.
    Hidden,
    /// The key is not text.
    No,
}

impl Default for Dump {
    fn default() -> Self {
        Self::new()
    }
}

impl Dump {
    /// The empty Hash.
    pub fn new() -> Self {
        let scan = Scan::of_empty_hash();
        let tail = scan.bytes().len();
        Self { scan, letter: HEAD, entries: Vec::new(), tail, index: Vec::new() }
    }

    /// Parses the Hash at the beginning of `bytes`, and ignores the bytes after it.
    ///
    /// # Errors
    /// What is wrong with the bytes; [`ParseError::Blank`] if they are all zeros.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.first() == Some(&0) && bytes.iter().all(|byte| *byte == 0) {
            return Err(ParseError::Blank);
        }
        Self::of(Scan::of(bytes)?)
    }

    fn of(scan: Scan) -> Result<Self, ParseError> {
        let mut reader = scan.reader(HEAD);
        loop {
            match reader.byte()? {
                b'I' => {}
                b'C' | b'e' => reader.go(scan.walk(reader.at(), Task::Symbol).finish()?),
                b'{' | b'}' => break,
                letter => return Err(ParseError::NotAHash(letter)),
            }
        }
        let letter = reader.at() - 1;
        let count = reader.count("a negative number of pairs")?;
        let mut entries = Vec::with_capacity(count);
        let mut at = reader.at();
        // A budget for keys that are links. Many links to one long text would each cost its length.
        let mut linked = scan.bytes().len();
        for _ in 0..count {
            let key = at;
            let value = scan.end(key)?;
            at = scan.end(value)?;
            let name = name(&scan, key, &mut linked)?;
            let (shown, (name, len)) = name.map_or((Shown::No, (0, 0)), |it| (Shown::Yes, it));
            let [key, value, name, len] = [key, value, name, len].map(|place| place as u32);
            entries.push(Entry { key, value, name, len, shown });
        }
        let tail = at;
        let mut dump = Self { scan, letter, entries, tail, index: Vec::new() };
        dump.index = dump.sorted();
        Ok(dump)
    }

    /// Hides entries with a later entry of the same name. Returns the shown ones, sorted by name.
    fn sorted(&mut self) -> Vec<u32> {
        let mut index: Vec<u32> = Vec::with_capacity(self.entries.len());
        index.extend((0..self.entries.len() as u32).filter(|at| self.name(*at).is_some()));
        index.sort_unstable_by_key(|at| (self.name(*at), *at));
        let mut hidden = Vec::new();
        for pair in index.windows(2) {
            if let [first, second] = pair
                && self.name(*first) == self.name(*second)
            {
                hidden.push(*first);
            }
        }
        for at in hidden {
            if let Some(entry) = self.entries.get_mut(at as usize) {
                entry.shown = Shown::Hidden;
            }
        }
        index.retain(|at| self.entries.get(*at as usize).is_some_and(|it| it.shown == Shown::Yes));
        index
    }

    fn name(&self, at: u32) -> Option<&str> {
        self.name_of(self.entries.get(at as usize)?)
    }

    fn name_of(&self, entry: &Entry) -> Option<&str> {
        let end = entry.name as usize + entry.len as usize;
        let text = self.scan.bytes().get(entry.name as usize..end)?;
        std::str::from_utf8(text).ok().filter(|_| entry.shown != Shown::No)
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        let at = self.index.binary_search_by_key(&Some(name), |at| self.name(*at)).ok()?;
        self.entries.get(*self.index.get(at)? as usize)
    }

    /// Returns the bytes of the Hash: without a change, those that were parsed.
    pub fn encode(&self) -> Vec<u8> {
        self.scan.bytes().to_vec()
    }

    /// Iterates over the names, in the order of the Hash. Other keys than UTF-8 text are kept, but
    /// not shown.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let shown = self.entries.iter().filter(|entry| entry.shown == Shown::Yes);
        shown.filter_map(|entry| self.name_of(entry))
    }

    /// The number of names.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are no names. Keys that are no text may be there.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether the variable exists.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Returns the variable's value, or `None` if there is no such variable. A value without a
    /// counterpart is an [`Object`](crate::Owned::Object), with the bytes of [`Dump::dump_of`].
    ///
    /// # Errors
    /// [`ParseError::Tangled`] if user-defined objects contain each other so that a part of them,
    /// written alone, would be larger than the whole (Ruby itself writes no such dump);
    /// [`ParseError::NoMemory`] if the system refuses the memory.
    pub fn value<T: Tree>(&self, name: &str) -> Result<Option<T>, ParseError> {
        self.find(name).map(|entry| view(&self.scan, entry.value as usize)).transpose()
    }

    /// Sets the variable: at its present position, or after the others if it is new.
    ///
    /// # Errors
    /// Those of [`dump`](crate::dump), and [`ParseError::Tangled`] as for [`Dump::value`]. Nothing
    /// has changed then.
    pub fn set<T: Tree>(&mut self, name: &str, value: &T) -> Result<(), ParseError> {
        self.put(name, &Scan::of_alone(&encode(value)?)?)
    }

    /// Returns the variable's value as a dump of its own, as `Marshal.dump` writes it, or `None` if
    /// there is no such variable.
    ///
    /// # Errors
    /// [`ParseError::Tangled`] as for [`Dump::value`].
    pub fn dump_of(&self, name: &str) -> Result<Option<Vec<u8>>, ParseError> {
        let Some(entry) = self.find(name) else { return Ok(None) };
        let limit = enough(self.scan.bytes().len());
        let (bytes, _) = alone(&self.scan, entry.value as usize, limit)?;
        Ok(Some(bytes))
    }

    /// Sets the variable to the value of a dump. Fails if more bytes follow the value.
    ///
    /// # Errors
    /// What is wrong with the bytes, and [`ParseError::Tangled`] as for [`Dump::value`]. Nothing has
    /// changed then.
    pub fn set_dump(&mut self, name: &str, dump: &[u8]) -> Result<(), ParseError> {
        self.put(name, &Scan::of_alone(dump)?)
    }

    /// Removes the variable. Returns whether it existed.
    ///
    /// # Errors
    /// [`ParseError::Tangled`] as for [`Dump::value`]. Nothing has changed then.
    pub fn remove(&mut self, name: &str) -> Result<bool, ParseError> {
        let there = self.contains(name);
        if there {
            *self = self.rewritten(name, None)?;
        }
        Ok(there)
    }

    fn put(&mut self, name: &str, value: &Scan) -> Result<(), ParseError> {
        *self = self.rewritten(name, Some(value))?;
        Ok(())
    }

    /// Returns a dump with a new value of this name, or without the name.
    ///
    /// The whole dump is written again: objects that other variables share with the old value get
    /// new numbers, or move.
    fn rewritten(&self, name: &str, new: Option<&Scan>) -> Result<Self, ParseError> {
        let bytes = self.scan.bytes();
        let added = new.map_or(0, |new| new.bytes().len().saturating_add(name.len()));
        let mut writer = Writer::new(enough(bytes.len().saturating_add(added)));
        let mut copier = Copier::new(&self.scan);
        let variables = self.copy_prefixes(&mut writer, &mut copier)?;

        let named =
            |entry: &Entry| entry.len as usize == name.len() && self.name_of(entry) == Some(name);
        let others = self.entries.iter().filter(|entry| !named(entry)).count();
        writer.raw(bytes.get(self.letter..=self.letter).unwrap_or_default())?;
        writer.count(others + usize::from(new.is_some()))?;
        copier.numbered(&mut writer, HEAD as u32);
        let mut place = new;
        for entry in &self.entries {
            if !named(entry) {
                copier.copy(&mut writer, entry.key as usize, Task::Objects(2))?;
            } else if entry.shown == Shown::Yes
                && let Some(new) = place.take()
            {
                copier.copy(&mut writer, entry.key as usize, Task::Objects(1))?;
                Copier::new(new).copy_all(&mut writer)?;
            }
        }
        if let Some(new) = place {
            writer.string(name)?;
            Copier::new(new).copy_all(&mut writer)?;
        }
        let mut at = self.tail;
        if bytes.get(self.letter) == Some(&b'}') {
            at = copier.copy(&mut writer, at, Task::Objects(1))?;
        }
        for _ in 0..variables {
            at = copier.copy(&mut writer, at, Task::Variables)?;
        }
        drop(copier);
        Self::of(Scan::of_alone(&writer.done())?)
    }

    /// Copies the prefixes before the Hash's letter. Returns how many lists of instance variables
    /// follow its entries.
    fn copy_prefixes(
        &self,
        writer: &mut Writer,
        copier: &mut Copier<'_>,
    ) -> Result<usize, ParseError> {
        let mut variables = 0;
        let mut reader = self.scan.reader(HEAD);
        while reader.at() < self.letter {
            let letter = reader.byte()?;
            writer.raw(&[letter])?;
            if letter == b'I' {
                variables += 1;
            } else {
                reader.go(copier.copy(writer, reader.at(), Task::Symbol)?);
            }
        }
        Ok(variables)
    }
}

/// Returns position and length of the name's text, if Ruby considers the key equal to a UTF-8
/// String.
fn name(scan: &Scan, key: usize, linked: &mut usize) -> Result<Option<(usize, usize)>, ParseError> {
    let at = scan.resolve(key)?;
    let mut reader = scan.reader(at);
    let variables = match reader.byte()? {
        b'I' if reader.peek() == Some(b'"') => {
            reader.byte()?;
            true
        }
        b'"' => false,
        _ => return Ok(None),
    };
    let text = reader.text()?;
    if at != key {
        match linked.checked_sub(text.len()) {
            Some(left) => *linked = left,
            None => return Ok(None),
        }
    }
    let letter =
        if variables { scan.short_encoding(reader.at())?.map(|it| it.0) } else { Some(b'F') };
    let known = match letter {
        Some(b'T') => std::str::from_utf8(text).is_ok(),
        Some(_) => text.is_ascii(),
        None => false,
    };
    Ok(known.then_some((reader.at() - text.len(), text.len())))
}
