//! Writes a dump from parts of other dumps. Objects and Symbols get new numbers. If the target of a
//! link is not written yet, it is written in place of the link.

use super::{
    bytes::{put_count, put_long, put_text},
    parse_error::ParseError,
    scan::{HEAD, Scan},
    walk::{Numbered, Step, Task},
};
use std::collections::HashMap;

/// A dump under construction.
#[derive(Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
    objects: u32,
    symbols: u32,
    /// The number of each Symbol, by its encoding's letter and its bytes.
    known: HashMap<Box<[u8]>, u32>,
    scratch: Vec<u8>,
    /// The maximum length. Without it, user-defined objects that contain each other could multiply
    /// the output.
    limit: usize,
}

impl Writer {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            out: vec![4, 8],
            objects: 0,
            symbols: 0,
            known: HashMap::new(),
            scratch: Vec::new(),
            limit,
        }
    }

    pub(super) fn done(mut self) -> Vec<u8> {
        self.out.shrink_to_fit();
        self.out
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        if self.out.len().saturating_add(bytes.len()) > self.limit {
            return Err(ParseError::Tangled);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn long(&mut self, number: i64) {
        put_long(&mut self.out, number);
    }

    pub(super) fn count(&mut self, count: usize) -> Result<(), ParseError> {
        put_count(&mut self.out, count)
    }

    /// Returns the number of the object that was just begun.
    pub(super) fn next_object(&mut self) -> u32 {
        self.objects += 1;
        self.objects - 1
    }

    fn link(&mut self, letter: u8, number: u32) -> Result<(), ParseError> {
        self.raw(&[letter])?;
        self.long(i64::from(number));
        Ok(())
    }

    fn known(&mut self, (encoding, name): (u8, &[u8])) -> Option<u32> {
        self.scratch.clear();
        self.scratch.push(encoding);
        self.scratch.extend_from_slice(name);
        self.known.get(self.scratch.as_slice()).copied()
    }

    fn next_symbol(&mut self, identity: Option<(u8, &[u8])>) -> u32 {
        let number = self.symbols;
        self.symbols += 1;
        if let Some(identity) = identity
            && self.known(identity).is_none()
        {
            self.known.insert(self.scratch.as_slice().into(), number);
        }
        number
    }

    /// Writes type letter and counted text of a new object.
    pub(super) fn text(&mut self, letter: u8, text: &[u8]) -> Result<(), ParseError> {
        self.next_object();
        self.out.push(letter);
        put_text(&mut self.out, text)
    }

    /// Writes a String in UTF-8.
    pub(super) fn string(&mut self, text: &str) -> Result<(), ParseError> {
        self.out.push(b'I');
        self.text(b'"', text.as_bytes())?;
        self.long(1);
        let name = (b':', &b"E"[..]);
        if let Some(number) = self.known(name) {
            self.out.push(b';');
            self.long(i64::from(number));
        } else {
            self.next_symbol(Some(name));
            self.out.push(b':');
            put_text(&mut self.out, name.1)?;
        }
        self.out.push(b'T');
        Ok(())
    }
}

/// Copies parts of one dump into another.
#[derive(Debug)]
pub(super) struct Copier<'s> {
    scan: &'s Scan,
    /// New numbers by old ones.
    objects: HashMap<u32, u32>,
    symbols: HashMap<u32, u32>,
}

impl<'s> Copier<'s> {
    pub(super) fn new(scan: &'s Scan) -> Self {
        Self { scan, objects: HashMap::new(), symbols: HashMap::new() }
    }

    /// Gives the object that begins at `begin` its new number.
    pub(super) fn numbered(&mut self, writer: &mut Writer, begin: u32) {
        let new = writer.next_object();
        if let Some(old) = self.scan.number_of_object(begin) {
            // A user-defined object that contains itself is written twice, and the outer copy gets
            // its number last. Links go to the first number, as Ruby's do.
            self.objects.entry(old).or_insert(new);
        }
    }

    /// Whether the object that begins at `begin` has been written.
    pub(super) fn wrote(&self, begin: u32) -> bool {
        self.new_object(begin).is_some()
    }

    fn new_object(&self, begin: u32) -> Option<u32> {
        self.objects.get(&self.scan.number_of_object(begin)?).copied()
    }

    fn new_symbol(&mut self, writer: &mut Writer, old: u32, begin: u32) -> Option<u32> {
        if let Some(new) = self.symbols.get(&old) {
            return Some(*new);
        }
        let new = writer.known(self.scan.identity(begin)?)?;
        self.symbols.insert(old, new);
        Some(new)
    }

    /// Copies the part that `task` stands for, from byte `at` on. Returns where it ends.
    pub(super) fn copy(
        &mut self,
        writer: &mut Writer,
        at: usize,
        task: Task,
    ) -> Result<usize, ParseError> {
        let mut walk = self.scan.walk(at, task);
        while let Some(step) = walk.step()? {
            match step {
                Step::Raw(from, to, numbered) => {
                    writer.raw(self.scan.bytes().get(from..to).unwrap_or_default())?;
                    match numbered {
                        Numbered::Nothing => {}
                        Numbered::Object(begin) => self.numbered(writer, begin),
                        Numbered::Symbol(begin) => {
                            let new = writer.next_symbol(self.scan.identity(begin));
                            if let Some(old) = self.scan.number_of_symbol(begin) {
                                self.symbols.insert(old, new);
                            }
                        }
                    }
                }
                // If an earlier link has already written the object, a link takes its place.
                Step::Object(begin) => {
                    if let Some(new) = self.new_object(begin) {
                        writer.link(b'@', new)?;
                        walk.skip();
                    }
                }
                Step::Symbol(begin) => {
                    let old = self.scan.number_of_symbol(begin);
                    if let Some(new) = old.and_then(|old| self.new_symbol(writer, old, begin)) {
                        writer.link(b';', new)?;
                        walk.skip();
                    }
                }
                Step::Link(old) => match self.objects.get(&old) {
                    Some(new) => writer.link(b'@', *new)?,
                    None => walk.visit(self.scan.object(old)?, Task::Objects(1)),
                },
                Step::SymbolLink(old) => {
                    let begin = self.scan.symbol(old)?;
                    match self.new_symbol(writer, old, begin) {
                        Some(new) => writer.link(b';', new)?,
                        None => walk.visit(begin, Task::Symbol),
                    }
                }
            }
        }
        Ok(walk.at())
    }

    /// Copies the whole dump as one object.
    pub(super) fn copy_all(mut self, writer: &mut Writer) -> Result<(), ParseError> {
        self.copy(writer, HEAD, Task::Objects(1)).map(drop)
    }
}

/// Returns the most bytes that a copy of parts of a dump of `bytes` bytes takes. It assumes that
/// each object is copied once. A link becomes at most three times as long.
pub(super) fn enough(bytes: usize) -> usize {
    bytes.saturating_mul(4).saturating_add(1024)
}

/// Returns the object that begins at `at` as a dump of its own, and the copier that wrote it.
pub(super) fn alone(
    scan: &Scan,
    at: usize,
    limit: usize,
) -> Result<(Vec<u8>, Copier<'_>), ParseError> {
    let mut writer = Writer::new(limit);
    let mut copier = Copier::new(scan);
    copier.copy(&mut writer, at, Task::Objects(1))?;
    Ok((writer.done(), copier))
}
