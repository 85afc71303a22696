//! Operations as the checker sees them: the values that they need, and the values that they leave.

use std::fmt;

/// Variables, then Atomics.
pub(crate) const VARIABLES: usize = 4;
pub(crate) const ATOMICS: usize = 2;
pub(crate) const KEYS: usize = VARIABLES + ATOMICS;

/// The value of a variable that does not exist.
pub(crate) const ABSENT: u64 = 0;

/// The value of each key.
pub(crate) type Values = [u64; KEYS];

/// What an operation found in a key, by its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Any,
    Is(u64),
    Not(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Keep,
    Write(u64),
    Add(u64),
}

/// What an operation has to do with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) key: usize,
    pub(crate) need: Need,
    pub(crate) change: Change,
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) process: usize,
    pub(crate) what: &'static str,
    pub(crate) began: u64,
    /// `None`: its process was killed.
    pub(crate) ended: Option<u64>,
    pub(crate) parts: Vec<Part>,
}

impl Operation {
    /// Returns the values after it; `None` if it cannot have had its result.
    pub(crate) fn apply(&self, values: &Values) -> Option<Values> {
        let mut after = *values;
        for Part { key, need, change } in &self.parts {
            let value = values[*key];
            let fits = match need {
                Need::Any => true,
                Need::Is(wanted) => value == *wanted,
                Need::Not(other) => value != *other,
            };
            if !fits {
                return None;
            }
            match change {
                Change::Keep => {}
                Change::Write(new) => after[*key] = *new,
                Change::Add(more) => after[*key] = value.wrapping_add(*more),
            }
        }
        Some(after)
    }

    /// Returns what it did with some keys; `None` if that is nothing.
    fn on(&self, wanted: impl Fn(usize) -> bool) -> Option<Self> {
        let parts: Vec<Part> = self.parts.iter().filter(|part| wanted(part.key)).copied().collect();
        (!parts.is_empty()).then(|| Self { parts, ..self.clone() })
    }
}

/// Part of a history that the checker must explain by itself.
pub(crate) struct Question {
    pub(crate) about: String,
    pub(crate) operations: Vec<Operation>,
}

/// Returns the questions to a history: each key alone, by every operation; and all variables
/// together, without plain reads. A plain read may see a part of a transaction before the others,
/// which the library documents; for each key alone it must be right.
pub(crate) fn questions(history: &[Operation]) -> Vec<Question> {
    let mut questions: Vec<Question> = (0..KEYS)
        .map(|key| Question {
            about: if key < VARIABLES {
                format!("variable {}", name_of(key))
            } else {
                format!("Atomic {}", name_of(key))
            },
            operations: history.iter().filter_map(|it| it.on(|of| of == key)).collect(),
        })
        .collect();
    questions.push(Question {
        about: "transactions and snapshots".into(),
        operations: history
            .iter()
            .filter(|operation| operation.what != "get")
            .filter_map(|operation| operation.on(|key| key < VARIABLES))
            .collect(),
    });
    questions
}

pub(crate) fn name_of(key: usize) -> &'static str {
    ["v0", "v1", "v2", "v3", "a0", "a1"][key]
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} {:>12} ", self.process, self.began)?;
        match self.ended {
            Some(ended) => write!(f, "{ended:>12} {}", self.what)?,
            None => write!(f, "{:>12} {}", "killed", self.what)?,
        }
        for Part { key, need, change } in &self.parts {
            write!(f, " {}", name_of(*key))?;
            match need {
                Need::Any => {}
                Need::Is(value) => write!(f, " is {value:x}")?,
                Need::Not(value) => write!(f, " is not {value:x}")?,
            }
            match change {
                Change::Keep => {}
                Change::Write(value) => write!(f, " becomes {value:x}")?,
                Change::Add(more) => write!(f, " plus {more:x}")?,
            }
            write!(f, ";")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::{Verdict, check};

    fn operation(what: &'static str, began: u64, parts: &[Part]) -> Operation {
        Operation { process: 0, what, began, ended: Some(began + 1), parts: parts.to_vec() }
    }

    fn unexplained(history: &[Operation]) -> Vec<String> {
        questions(history)
            .into_iter()
            .filter(|it| check(&it.operations, &[0; KEYS]) != Verdict::Explained)
            .map(|it| it.about)
            .collect()
    }

    #[test]
    fn a_plain_read_may_see_a_part_of_a_transaction_and_a_snapshot_may_not() {
        let write = |key| Part { key, need: Need::Any, change: Change::Write(5) };
        let read = |key, value| Part { key, need: Need::Is(value), change: Change::Keep };
        let mut both = operation("transaction", 1, &[write(0), write(1)]);
        both.ended = Some(100);
        let apart = [operation("get", 10, &[read(0, 5)]), operation("get", 20, &[read(1, 0)])];
        let [one, two] = apart;
        assert!(unexplained(&[both.clone(), one, two]).is_empty());
        let together = operation("snapshot", 10, &[read(0, 5), read(1, 0)]);
        assert_eq!(unexplained(&[both, together]), ["transactions and snapshots"]);
    }

    #[test]
    fn an_operation_is_seen_by_the_questions_about_its_keys() {
        let read = |key| Part { key, need: Need::Is(9), change: Change::Keep };
        assert_eq!(unexplained(&[operation("get", 1, &[read(2)])]), ["variable v2"]);
        assert_eq!(unexplained(&[operation("get", 1, &[read(5)])]), ["Atomic a1"]);
        assert_eq!(
            unexplained(&[operation("snapshot", 1, &[read(1), read(4)])]),
            ["variable v1", "Atomic a0", "transactions and snapshots"]
        );
    }
}
