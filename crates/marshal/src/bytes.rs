//! The smallest parts of the format: bytes, numbers, counted text. Reads never go past the end.

use super::parse_error::ParseError;

/// Reads forward in bytes that may be hostile.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn go(&mut self, at: usize) {
        self.at = at;
    }

    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The byte after the next.
    pub(super) fn peek_second(&self) -> Option<u8> {
        self.bytes.get(self.at.checked_add(1)?).copied()
    }

    pub(super) fn byte(&mut self) -> Result<u8, ParseError> {
        let byte = self.peek().ok_or(ParseError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], ParseError> {
        let end = self.at.checked_add(len).ok_or(ParseError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(ParseError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// A number in one to five bytes.
    pub(super) fn long(&mut self) -> Result<i64, ParseError> {
        let first = i64::from(self.byte()?.cast_signed());
        Ok(match first {
            0 => 0,
            5.. => first - 5,
            ..=-5 => first + 5,
            1..=4 => self.little(first.unsigned_abs(), 0)?,
            _ => self.little(first.unsigned_abs(), 0xff)?,
        })
    }

    /// Reads a number of `len` bytes; `fill` stands for those above them.
    fn little(&mut self, len: u64, fill: u8) -> Result<i64, ParseError> {
        let mut bytes = [fill; 8];
        for (to, from) in bytes.iter_mut().zip(self.take(len as usize)?) {
            *to = *from;
        }
        Ok(i64::from_le_bytes(bytes))
    }

    /// Reads a count of elements that take at least a byte each. A count above the number of
    /// remaining bytes is refused: otherwise hostile bytes could request an allocation of any size.
    /// `what` names a negative count in the error.
    pub(super) fn count(&mut self, what: &'static str) -> Result<usize, ParseError> {
        let at = self.at;
        let count = usize::try_from(self.long()?).map_err(|_| ParseError::Invalid(what, at))?;
        if count > self.left() { Err(ParseError::Truncated) } else { Ok(count) }
    }

    /// Reads the number of an object or Symbol.
    pub(super) fn number(&mut self) -> Result<u32, ParseError> {
        let at = self.at;
        u32::try_from(self.long()?).map_err(|_| ParseError::Invalid("a link to nothing", at))
    }

    pub(super) fn text(&mut self) -> Result<&'a [u8], ParseError> {
        let len = self.count("text of a negative length")?;
        self.take(len)
    }
}

/// Writes a number of at most 32 bits in its shortest form, as Ruby's `w_long` does.
pub(super) fn put_long(to: &mut Vec<u8>, number: i64) {
    match number {
        1..=122 => to.push((number + 5).cast_unsigned() as u8),
        -123..=-1 => to.push((number - 5).cast_unsigned() as u8),
        _ => {
            let negative = number < 0;
            let end = if negative { -1 } else { 0 };
            let mut rest = number;
            let mut bytes = Vec::with_capacity(4);
            while rest != end {
                bytes.push(rest.cast_unsigned() as u8);
                rest >>= 8;
            }
            // 0 has none.
            let len = bytes.len() as u8;
            to.push(if negative { len.wrapping_neg() } else { len });
            to.extend(bytes);
        }
    }
}

/// Writes a length or count. Ruby's Marshal has 31 bits for it.
pub(super) fn put_count(to: &mut Vec<u8>, count: usize) -> Result<(), ParseError> {
    let number = i32::try_from(count).map_err(|_| ParseError::TooLarge(count))?;
    put_long(to, number.into());
    Ok(())
}

pub(super) fn put_text(to: &mut Vec<u8>, text: &[u8]) -> Result<(), ParseError> {
    put_count(to, text.len())?;
    to.extend_from_slice(text);
    Ok(())
}
