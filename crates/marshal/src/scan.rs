//! One pass over a dump: validates it, and finds where its objects and Symbols begin.

use super::{
    bytes::Reader,
    parse_error::ParseError,
    walk::{Numbered, Step, Task, Walk},
};

/// Where the value begins.
pub(super) const HEAD: usize = 2;
const VERSION: [u8; HEAD] = [4, 8];

/// A valid dump.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// The version bytes and the value, without the bytes after it.
    bytes: Vec<u8>,
    /// Where each object begins, by its number.
    objects: Vec<u32>,
    /// The numbers of the objects, sorted by where they begin.
    order: Vec<u32>,
    /// Where each Symbol begins, by its number. The positions are in ascending order.
    symbols: Vec<u32>,
}

impl Scan {
    /// Scans the value at the beginning of `bytes`, and ignores the bytes after it.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, ParseError> {
        match bytes.get(..HEAD) {
            None => return Err(ParseError::Truncated),
            Some(head) if head == VERSION => {}
            // Ruby reads older minor versions. Their types are a subset of these.
            Some([4, minor]) if *minor < 8 => {}
            Some(head) => {
                let (major, minor) = (head.first().copied(), head.get(1).copied());
                return Err(ParseError::Version(major.unwrap_or(0), minor.unwrap_or(0)));
            }
        }
        // Numbers of objects and positions are 32 bits wide.
        let within = bytes.get(..u32::MAX as usize - 1).unwrap_or(bytes);
        let mut objects = Vec::new();
        let mut symbols = Vec::new();
        let mut walk = Walk::new(within, HEAD, Task::Objects(1));
        loop {
            let step = walk.step();
            if matches!(step, Err(ParseError::Truncated)) && within.len() < bytes.len() {
                return Err(ParseError::TooLarge(bytes.len()));
            }
            match step? {
                None => break,
                Some(Step::Raw(_, _, Numbered::Object(begin))) => objects.push(begin),
                Some(Step::Raw(_, _, Numbered::Symbol(begin))) => symbols.push(begin),
                Some(Step::Link(number)) if number as usize >= objects.len() => {
                    return Err(ParseError::Invalid(
                        "a link to an object that does not exist",
                        walk.at(),
                    ));
                }
                Some(Step::SymbolLink(number)) if number as usize >= symbols.len() => {
                    return Err(ParseError::Invalid(
                        "a link to a Symbol that does not exist",
                        walk.at(),
                    ));
                }
                Some(_) => {}
            }
        }
        let bytes = bytes.get(..walk.at()).unwrap_or(bytes).to_vec();
        objects.shrink_to_fit();
        symbols.shrink_to_fit();
        let mut order: Vec<u32> = (0..objects.len() as u32).collect();
        order.sort_unstable_by_key(|number| objects.get(*number as usize).copied());
        Ok(Self { bytes, objects, order, symbols })
    }

    /// Scans a value. Fails if more bytes follow it.
    pub(super) fn of_alone(bytes: &[u8]) -> Result<Self, ParseError> {
        let scan = Self::of(bytes)?;
        if scan.bytes.len() < bytes.len() {
            return Err(ParseError::Trailing(scan.bytes.len()));
        }
        Ok(scan)
    }

    /// The empty Hash.
    pub(super) fn of_empty_hash() -> Self {
        Self {
            bytes: vec![4, 8, b'{', 0],
            objects: vec![HEAD as u32],
            order: vec![0],
            symbols: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn reader(&self, at: usize) -> Reader<'_> {
        Reader::new(&self.bytes, at)
    }

    pub(super) fn walk(&self, at: usize, task: Task) -> Walk<'_> {
        Walk::new(&self.bytes, at, task)
    }

    /// Returns the end of the object that begins at `at`.
    pub(super) fn end(&self, at: usize) -> Result<usize, ParseError> {
        self.walk(at, Task::Objects(1)).finish()
    }

    /// Returns where the object of this number begins.
    pub(super) fn object(&self, number: u32) -> Result<u32, ParseError> {
        let none = ParseError::Invalid("a link to an object that does not exist", 0);
        self.objects.get(number as usize).copied().ok_or(none)
    }

    /// Returns where the Symbol of this number begins.
    pub(super) fn symbol(&self, number: u32) -> Result<u32, ParseError> {
        let none = ParseError::Invalid("a link to a Symbol that does not exist", 0);
        self.symbols.get(number as usize).copied().ok_or(none)
    }

    /// Returns the number of the object that begins at `begin`.
    pub(super) fn number_of_object(&self, begin: u32) -> Option<u32> {
        let begins = |number: &u32| self.objects.get(*number as usize).copied();
        let at = self.order.binary_search_by_key(&Some(begin), begins).ok()?;
        self.order.get(at).copied()
    }

    /// Returns the number of the Symbol that begins at `begin`.
    pub(super) fn number_of_symbol(&self, begin: u32) -> Option<u32> {
        self.symbols.binary_search(&begin).ok().map(|at| at as u32)
    }

    /// Returns the position of the link's target if a link begins at `at`, else `at`.
    pub(super) fn resolve(&self, at: usize) -> Result<usize, ParseError> {
        let mut reader = self.reader(at);
        if reader.peek() != Some(b'@') {
            return Ok(at);
        }
        reader.byte()?;
        Ok(self.object(reader.number()?)? as usize)
    }

    /// Returns the name of the Symbol, or Symbol link, that begins at `at`, and where it ends.
    /// Returns `None` for a Symbol with an encoding.
    pub(super) fn plain_symbol(&self, at: usize) -> Result<Option<(&[u8], usize)>, ParseError> {
        let mut reader = self.reader(at);
        let (name, end) = match reader.byte()? {
            b';' => {
                let begin = self.symbol(reader.number()?)?;
                let end = reader.at();
                let mut reader = self.reader(begin as usize);
                if reader.byte()? != b':' {
                    return Ok(None);
                }
                (reader.text()?, end)
            }
            b':' => (reader.text()?, reader.at()),
            _ => return Ok(None),
        };
        Ok(Some((name, end)))
    }

    /// Returns the bytes of the Symbol that begins at `begin`, in any encoding.
    pub(super) fn symbol_text(&self, begin: u32) -> Result<&[u8], ParseError> {
        let mut reader = self.reader(begin as usize);
        if reader.byte()? == b'I' {
            reader.byte()?;
        }
        reader.text()
    }

    /// Returns the identity of the Symbol that begins at `begin`: its encoding and its bytes.
    pub(super) fn identity(&self, begin: u32) -> Option<(u8, &[u8])> {
        let mut reader = self.reader(begin as usize);
        match reader.byte().ok()? {
            b':' => Some((b':', reader.text().ok()?)),
            b'I' => {
                reader.byte().ok()?;
                let name = reader.text().ok()?;
                Some((self.short_encoding(reader.at()).ok()??.0, name))
            }
            _ => None,
        }
    }

    /// Reads the instance variables at `at`. If `E` is the only one, returns the letter of its
    /// value, T (UTF-8) or F (US-ASCII), and where they end; else `None`.
    pub(super) fn short_encoding(&self, at: usize) -> Result<Option<(u8, usize)>, ParseError> {
        let mut reader = self.reader(at);
        if reader.count("a negative number of instance variables")? != 1 {
            return Ok(None);
        }
        let Some((b"E", end)) = self.plain_symbol(reader.at())? else { return Ok(None) };
        reader.go(end);
        let letter = reader.byte()?;
        Ok(matches!(letter, b'T' | b'F').then_some((letter, reader.at())))
    }
}
