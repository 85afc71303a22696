//! Operations of a seed, for a process that runs them and a harness that knows their results.

use crate::Random;
use mapvar::Map;
use std::collections::BTreeMap;

/// The values of a map's variables, by their names.
pub type Content = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
pub enum Op {
    Set(String, Vec<u8>),
    Remove(String),
    Both(String, String, Vec<u8>),
    Add,
    Flush,
}

const NAMES: u64 = 24;
const COUNT: &str = "count";

fn name(number: u64) -> String {
    let len = [1, 9, 40, 130, 25][number as usize % 5];
    format!("{number}-").repeat(len)
}

pub fn first_word(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

impl Op {
    /// Returns the next operation of a seed, the same in the writer process and in the harness.
    pub fn next(random: &mut Random, stamp: u64) -> Self {
        let variable = random.below(NAMES);
        let words = [1, 3, 12, 60, 125, 400, 2_000, 9_000][random.below(8) as usize];
        match random.below(40) {
            0..=22 => Self::Set(name(variable), stamp.to_le_bytes().repeat(words)),
            23..=27 => Self::Remove(name(variable)),
            28..=31 => {
                let other = (variable + 1 + random.below(NAMES - 1)) % NAMES;
                Self::Both(name(variable), name(other), stamp.to_le_bytes().repeat(words.min(400)))
            }
            32..=37 => Self::Add,
            _ => Self::Flush,
        }
    }

    pub fn run(&self, map: &Map) -> mapvar::Result<()> {
        match self {
            Self::Set(name, value) => map.set(name, value),
            Self::Remove(name) => map.remove(name).map(drop),
            Self::Both(one, other, value) => map.transaction(|tx| {
                tx.set(one, value)?;
                tx.set(other, value)
            }),
            Self::Add => map.atomic_or(COUNT, 0_u64)?.fetch_add(1).map(drop),
            Self::Flush => map.flush(),
        }
    }

    pub fn apply(&self, content: &mut Content) {
        match self {
            Self::Set(name, value) => drop(content.insert(name.clone(), value.clone())),
            Self::Remove(name) => drop(content.remove(name)),
            Self::Both(one, other, value) => {
                content.insert(one.clone(), value.clone());
                content.insert(other.clone(), value.clone());
            }
            Self::Add => {
                let new = content.get(COUNT).map_or(0, |old| first_word(old)) + 1;
                content.insert(COUNT.into(), new.to_le_bytes().to_vec());
            }
            Self::Flush => {}
        }
    }
}

/// Returns the content of a map that only these operations have changed.
pub fn read(map: &Map) -> mapvar::Result<Content> {
    let mut found = Content::new();
    for entry in map {
        let entry = entry?;
        let value = if entry.name() == COUNT {
            entry.get::<u64>()?.to_le_bytes().to_vec()
        } else {
            entry.get::<Vec<u8>>()?
        };
        found.insert(entry.name().to_owned(), value);
    }
    Ok(found)
}

/// Returns a content for people: of each variable the first three characters of its name, its
/// length and its first word.
pub fn brief(content: &Content) -> Vec<(String, usize, u64)> {
    content.iter().map(|(n, v)| (n.chars().take(3).collect(), v.len(), first_word(v))).collect()
}

/// Changes a map that was recovered, to see whether it can go on; fails with what is wrong.
pub fn tidy(map: &Map) -> Result<(), String> {
    let message = |error: mapvar::Error| error.to_string();
    let check = map.check().map_err(message)?;
    if let Some(finding) = check.findings().first() {
        return Err(format!("check: {finding}"));
    }
    map.clear().map_err(message)?;
    map.flush().map_err(message)?;
    map.flush().map_err(message)?;
    map.set("again", 1).map_err(message)?;
    match map.count().map_err(message)? {
        1 => Ok(()),
        _ => Err("a map that was cleared has something".into()),
    }
}
