//! Decodes a marshalled object to a value.
//!
//! Links are expanded, so that one object may be copied many times. The size of the result is
//! bounded: a value beyond the bound becomes one opaque value, as does a value that contains
//! itself.

use super::{
    Owned, Tree,
    number::{bignum_of, float_of},
};
use crate::{
    bytes::Reader,
    parse_error::ParseError,
    scan::Scan,
    write::{alone, enough},
};
use std::{collections::TryReserveError, marker::PhantomData};

/// The deepest nesting of lists and dictionaries; deeper objects are opaque.
const DEPTH: usize = 100;

/// Why an object becomes no list or dictionary.
enum Stop {
    /// The value contains itself, or would need too much memory: it is opaque as a whole.
    Whole,
    ParseError(ParseError),
}

impl From<ParseError> for Stop {
    fn from(flaw: ParseError) -> Self {
        Self::ParseError(flaw)
    }
}

/// Decodes the object that begins at `at`. [`ParseError::Tangled`] if it cannot be written alone.
pub(crate) fn view<T: Tree>(scan: &Scan, at: usize) -> Result<T, ParseError> {
    let at = scan.resolve(at)?;
    let len = scan.bytes().len();
    // A nil in a list takes one byte in the dump, and one `T` here. A dump without shared
    // objects never exceeds this.
    let left = len.saturating_mul(size_of::<T>() + 6).saturating_add(16 << 10);
    let mut viewer = Viewer { scan, open: Vec::new(), left, of: PhantomData };
    match viewer.object(at) {
        Ok((value, _)) => Ok(value),
        Err(Stop::ParseError(flaw)) => Err(flaw),
        Err(Stop::Whole) => {
            let (bytes, _) = alone(scan, at, enough(len))?;
            Ok(T::of(Owned::Object(bytes)))
        }
    }
}

/// Copies bytes. The budget bounds how much memory a value may take; whether the system has it is
/// another question, and its refusal is an error here and not the end of the process.
fn copy(bytes: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(no_memory)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cold]
fn no_memory(_: TryReserveError) -> ParseError {
    ParseError::NoMemory
}

struct Viewer<'s, T> {
    scan: &'s Scan,
    /// Where the lists and dictionaries begin that enclose the current position.
    open: Vec<u32>,
    /// How many bytes of memory may still be used.
    left: usize,
    of: PhantomData<T>,
}

impl<T: Tree> Viewer<'_, T> {
    fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        self.left = self.left.checked_sub(bytes).ok_or(Stop::Whole)?;
        Ok(())
    }

    /// Decodes an object. Returns it, and where it ends.
    fn object(&mut self, at: usize) -> Result<(T, usize), Stop> {
        let mut reader = self.scan.reader(at);
        let value = match reader.byte()? {
            b'0' => Owned::Nil,
            b'T' => Owned::Bool(true),
            b'F' => Owned::Bool(false),
            b'i' => Owned::I64(reader.long()?),
            b'@' => {
                let target = self.scan.object(reader.number()?)?;
                if self.open.contains(&target) {
                    return Err(Stop::Whole);
                }
                return Ok((self.object(target as usize)?.0, reader.at()));
            }
            b'f' => match float_of(reader.text()?) {
                Some(number) => Owned::F64(number),
                None => return self.opaque(at),
            },
            b'l' => {
                let sign = reader.byte()?;
                let len = reader.count("a number of a negative length")?;
                match bignum_of(sign, reader.take(len.saturating_mul(2))?) {
                    Some(number) => number,
                    None => return self.opaque(at),
                }
            }
            b'"' => {
                let text = reader.text()?;
                self.charge(text.len())?;
                Owned::Bytes(copy(text)?)
            }
            b'I' if reader.peek() == Some(b'"') => match self.string(&mut reader)? {
                Some(text) => {
                    self.charge(text.len())?;
                    let mut copy = String::new();
                    copy.try_reserve_exact(text.len()).map_err(no_memory)?;
                    copy.push_str(text);
                    Owned::Str(copy)
                }
                None => return self.opaque(at),
            },
            b'[' | b'{' | b'}' if self.open.len() >= DEPTH => return self.opaque(at),
            b'[' => self.list(at, &mut reader)?,
            letter @ (b'{' | b'}') => self.dict(at, letter, &mut reader)?,
            _ => return self.opaque(at),
        };
        Ok((T::of(value), reader.at()))
    }

    fn list(&mut self, at: usize, reader: &mut Reader<'_>) -> Result<Owned<T>, Stop> {
        let count = reader.count("a negative number of elements")?;
        self.charge(count.saturating_mul(size_of::<T>()))?;
        self.open.push(at as u32);
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(no_memory)?;
        for _ in 0..count {
            let (value, end) = self.object(reader.at())?;
            values.push(value);
            reader.go(end);
        }
        self.open.pop();
        Ok(Owned::List(values))
    }

    fn dict(&mut self, at: usize, letter: u8, reader: &mut Reader<'_>) -> Result<Owned<T>, Stop> {
        let count = reader.count("a negative number of pairs")?;
        self.charge(count.saturating_mul(2 * size_of::<T>()))?;
        self.open.push(at as u32);
        let mut pairs = Vec::new();
        pairs.try_reserve_exact(count).map_err(no_memory)?;
        for _ in 0..count {
            let (key, end) = self.object(reader.at())?;
            let (value, end) = self.object(end)?;
            pairs.push((key, value));
            reader.go(end);
        }
        self.open.pop();
        if letter == b'}' {
            // Skip the default, which the Hash returns for absent keys.
            reader.go(self.scan.end(reader.at())?);
        }
        Ok(Owned::Dict(pairs))
    }

    /// Reads text in UTF-8 or US-ASCII. Returns `None` for other encodings, or with further
    /// instance variables.
    fn string<'b>(&self, reader: &mut Reader<'b>) -> Result<Option<&'b str>, Stop> {
        reader.byte()?;
        let text = reader.text()?;
        let Some((letter, end)) = self.scan.short_encoding(reader.at())? else { return Ok(None) };
        reader.go(end);
        let known = letter == b'T' || text.is_ascii();
        Ok(std::str::from_utf8(text).ok().filter(|_| known))
    }

    fn opaque(&mut self, at: usize) -> Result<(T, usize), Stop> {
        if self.open.is_empty() {
            return Err(Stop::Whole);
        }
        let (bytes, copier) = match alone(self.scan, at, self.left) {
            Ok(alone) => alone,
            Err(ParseError::Tangled) => return Err(Stop::Whole),
            Err(flaw) => return Err(flaw.into()),
        };
        // The opaque object contains an object that encloses it, so the value contains itself.
        if self.open.iter().any(|begin| copier.wrote(*begin)) {
            return Err(Stop::Whole);
        }
        self.charge(bytes.len())?;
        Ok((T::of(Owned::Object(bytes)), self.scan.end(at)?))
    }
}
