//! The grammar of Marshal 4.8, walked with an explicit stack: any depth of nesting is fine, and no
//! objects are built.
//!
//! Objects are numbered as in Ruby's loader. An object gets its number at its type letter, with
//! three exceptions. An object with `marshal_dump` (`U`) or of data (`d`) gets it after its class.
//! A user-defined object (`u`) gets it after its bytes, and with the prefix `I` (`Iu`) after its
//! instance variables. Floats and Bignums have numbers; Fixnums, Symbols, nil, true, false and
//! links have none.

use super::{bytes::Reader, parse_error::ParseError};

/// A part to be read, on the stack of the walk. It has eight bytes, since hostile bytes can request
/// one task with every byte.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// This many objects.
    Objects(u32),
    /// The rest of the object that began at this position, from a prefix or its type letter on.
    Rest(u32),
    /// A Symbol, or a link to one.
    Symbol,
    /// A Symbol, or a link to one, that names a class or module.
    Class,
    /// The Symbol itself.
    Name,
    /// This many pairs of a Symbol and an object.
    Pairs(u32),
    /// A count, and then this many pairs.
    Variables,
    /// The bytes of a user-defined object.
    Text,
    /// The object that began at this position gets its number.
    Number(u32),
    /// The end of a skipped part: steps are returned again.
    Loud,
    /// The end of an object, if levels are counted.
    Leave,
    /// Continues at this position.
    Return(u32),
}

/// The object or Symbol that gets its number with a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Numbered {
    Nothing,
    /// The object that begins at this position.
    Object(u32),
    /// The Symbol that begins at this position.
    Symbol(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Bytes that mean the same at any position: their start, their end, and what they number.
    Raw(usize, usize, Numbered),
    /// An object that may have a number begins at this position; `skip` leaves it out.
    Object(u32),
    /// A Symbol begins at this position; `skip` leaves it out.
    Symbol(u32),
    /// A link to an object, by its number.
    Link(u32),
    /// A link to a Symbol, by its number.
    SymbolLink(u32),
}

#[derive(Debug)]
pub(super) struct Walk<'a> {
    reader: Reader<'a>,
    tasks: Vec<Task>,
    quiet: bool,
    names_class: bool,
    /// How many objects enclose the position, if that is counted.
    level: Option<u32>,
}

impl<'a> Walk<'a> {
    /// Starts a walk at `at`. `bytes` must have fewer than 2^32 bytes.
    pub(super) fn new(bytes: &'a [u8], at: usize, task: Task) -> Self {
        Self {
            reader: Reader::new(bytes, at),
            tasks: vec![task],
            quiet: false,
            names_class: false,
            level: None,
        }
    }

    /// The position that the walk has reached.
    pub(super) fn at(&self) -> usize {
        self.reader.at()
    }

    /// Counts the levels of nesting from now on.
    pub(super) fn counting_levels(mut self) -> Self {
        self.level = Some(0);
        self
    }

    /// How many objects enclose the position.
    pub(super) fn level(&self) -> u32 {
        self.level.unwrap_or(0)
    }

    /// Whether the last step names a class or module: by a Symbol, or as the text of an object that
    /// is itself a class or module.
    pub(super) fn names_class(&self) -> bool {
        self.names_class
    }

    /// Leaves out the object or Symbol of the last step.
    pub(super) fn skip(&mut self) {
        if let Some(task) = self.tasks.pop() {
            self.tasks.extend([Task::Loud, task]);
            self.quiet = true;
        }
    }

    /// Walks an object or Symbol at another position, and then continues here.
    pub(super) fn visit(&mut self, at: u32, task: Task) {
        self.tasks.extend([Task::Return(self.reader.at() as u32), task]);
        self.reader.go(at as usize);
    }

    /// Walks to the end, and returns its position.
    pub(super) fn finish(mut self) -> Result<usize, ParseError> {
        self.quiet = true;
        while self.step()?.is_some() {}
        Ok(self.at())
    }

    /// Returns the next step, or `None` at the end.
    pub(super) fn step(&mut self) -> Result<Option<Step>, ParseError> {
        while let Some(task) = self.tasks.pop() {
            self.names_class = false;
            let step = match task {
                Task::Loud => {
                    self.quiet = false;
                    None
                }
                Task::Leave => {
                    self.level = self.level.map(|level| level.saturating_sub(1));
                    None
                }
                Task::Return(at) => {
                    self.reader.go(at as usize);
                    None
                }
                Task::Objects(0) | Task::Pairs(0) => None,
                Task::Objects(count) => {
                    if count > 1 {
                        self.tasks.push(Task::Objects(count - 1));
                    }
                    self.object()
                }
                Task::Pairs(count) => {
                    if count > 1 {
                        self.tasks.push(Task::Pairs(count - 1));
                    }
                    self.tasks.extend([Task::Objects(1), Task::Symbol]);
                    None
                }
                Task::Rest(begin) => self.rest(begin)?,
                Task::Symbol => Some(self.symbol()?),
                Task::Class => {
                    self.names_class = true;
                    Some(self.symbol()?)
                }
                Task::Name => Some(self.name()?),
                Task::Variables => {
                    let from = self.at();
                    let count = self.reader.count("a negative number of instance variables")?;
                    self.tasks.push(Task::Pairs(count as u32));
                    Some(Step::Raw(from, self.at(), Numbered::Nothing))
                }
                Task::Text => {
                    let from = self.at();
                    self.reader.text()?;
                    Some(Step::Raw(from, self.at(), Numbered::Nothing))
                }
                Task::Number(begin) => {
                    Some(Step::Raw(self.at(), self.at(), Numbered::Object(begin)))
                }
            };
            if let Some(step) = step
                && !self.quiet
            {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    fn object(&mut self) -> Option<Step> {
        let begin = self.at() as u32;
        if let Some(level) = &mut self.level {
            *level += 1;
            self.tasks.push(Task::Leave);
        }
        self.tasks.push(Task::Rest(begin));
        match self.reader.peek() {
            Some(b'0' | b'T' | b'F' | b'i' | b':' | b';' | b'@') | None => None,
            Some(_) => Some(Step::Object(begin)),
        }
    }

    /// Reads an object from a prefix or its type letter on.
    fn rest(&mut self, begin: u32) -> Result<Option<Step>, ParseError> {
        let from = self.at();
        let mut numbered = Numbered::Nothing;
        let mut letter = self.reader.byte()?;
        let mut variables = false;
        // A link behind a prefix could not be replaced by its target. Ruby writes no such dump.
        let plain = matches!(letter, b'0' | b'T' | b'F' | b'i' | b':' | b';' | b'@');
        if plain && from != begin as usize {
            return Err(ParseError::Invalid("a prefix before a type that has none", from));
        }
        if letter == b'I' {
            match self.reader.peek() {
                Some(b':') if from == begin as usize => {
                    self.reader.go(from);
                    self.tasks.push(Task::Symbol);
                    return Ok(None);
                }
                Some(b'u') => {
                    letter = self.reader.byte()?;
                    variables = true;
                }
                _ => {
                    self.tasks.extend([Task::Variables, Task::Rest(begin)]);
                    return Ok(Some(Step::Raw(from, self.at(), numbered)));
                }
            }
        }
        match letter {
            b'0' | b'T' | b'F' => {}
            b'i' => drop(self.reader.long()?),
            b':' | b';' => {
                self.reader.go(from);
                self.tasks.push(Task::Symbol);
                return Ok(None);
            }
            b'@' => return Ok(Some(Step::Link(self.reader.number()?))),
            b'f' | b'"' | b'c' | b'm' | b'M' => {
                self.reader.text()?;
                numbered = Numbered::Object(begin);
                self.names_class = matches!(letter, b'c' | b'm' | b'M');
            }
            b'/' => {
                self.reader.text()?;
                self.reader.byte()?;
                numbered = Numbered::Object(begin);
            }
            b'l' => {
                self.reader.byte()?;
                let len = self.reader.count("a number of a negative length")?;
                self.reader.take(len.saturating_mul(2))?;
                numbered = Numbered::Object(begin);
            }
            b'[' => {
                let count = self.reader.count("a negative number of elements")?;
                self.tasks.push(Task::Objects(count as u32));
                numbered = Numbered::Object(begin);
            }
            b'{' | b'}' => {
                let pairs = self.reader.count("a negative number of pairs")?;
                // `pairs` is at most the number of remaining bytes, below 2^32, so twice that may
                // not fit.
                let count = pairs.saturating_mul(2).saturating_add(usize::from(letter == b'}'));
                let count = u32::try_from(count).map_err(|_| ParseError::Truncated)?;
                self.tasks.push(Task::Objects(count));
                numbered = Numbered::Object(begin);
            }
            b'S' | b'o' => {
                self.tasks.extend([Task::Variables, Task::Class]);
                numbered = Numbered::Object(begin);
            }
            b'u' => {
                self.tasks.push(Task::Number(begin));
                if variables {
                    self.tasks.push(Task::Variables);
                }
                self.tasks.extend([Task::Text, Task::Class]);
            }
            b'U' | b'd' => {
                self.tasks.extend([Task::Objects(1), Task::Number(begin), Task::Class]);
            }
            b'e' | b'C' => self.tasks.extend([Task::Rest(begin), Task::Class]),
            _ => return Err(ParseError::Invalid("a type that Marshal 4.8 does not have", from)),
        }
        Ok(Some(Step::Raw(from, self.at(), numbered)))
    }

    fn symbol(&mut self) -> Result<Step, ParseError> {
        let begin = self.at();
        match (self.reader.peek(), self.reader.peek_second()) {
            (Some(b';'), _) => {
                self.reader.byte()?;
                Ok(Step::SymbolLink(self.reader.number()?))
            }
            (Some(b':'), _) | (Some(b'I'), Some(b':')) => {
                self.tasks.push(Task::Name);
                Ok(Step::Symbol(begin as u32))
            }
            (None, _) | (Some(b'I'), None) => Err(ParseError::Truncated),
            _ => Err(ParseError::Invalid("something else where a Symbol should stand", begin)),
        }
    }

    fn name(&mut self) -> Result<Step, ParseError> {
        let from = self.at();
        if self.reader.byte()? == b'I' {
            self.reader.byte()?;
            self.tasks.push(Task::Variables);
        }
        self.reader.text()?;
        Ok(Step::Raw(from, self.at(), Numbered::Symbol(from as u32)))
    }
}
