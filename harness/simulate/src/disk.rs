//! The file and the page cache, word by word.
//!
//! Between two barriers the system may write any page at any time, and of a page being written at
//! the cut any aligned word may be old or new. So each word that the file holds after a cut is one
//! that memory held at some time since the last completed barrier began.

use crate::chance::Chance;

pub struct Disk {
    /// What processes see.
    memory: Vec<u64>,
    /// What is certainly in the file: memory as it was when the last completed barrier began.
    file: Vec<u64>,
    /// Every store since then, in order.
    stores: Vec<(usize, u64)>,
}

/// How the words that a cut leaves hang together.
#[derive(Clone, Copy)]
enum Bias {
    Anything,
    OldestOrNewest,
    MostlyNewest,
    MostlyOld,
}

impl Disk {
    pub fn new(words: usize) -> Self {
        Self { memory: vec![0; words], file: vec![0; words], stores: Vec::new() }
    }

    pub fn load(&self, at: usize) -> u64 {
        self.memory[at]
    }

    pub fn words(&self, at: usize, count: usize) -> &[u64] {
        &self.memory[at..at + count]
    }

    pub fn store(&mut self, at: usize, value: u64) {
        if self.memory[at] != value {
            self.memory[at] = value;
            self.stores.push((at, value));
        }
    }

    /// A barrier covers the stores before its begin; what it says is true only at its end.
    pub fn barrier_begins(&self) -> usize {
        self.stores.len()
    }

    pub fn barrier_ends(&mut self, begun: usize) {
        for (at, value) in self.stores.drain(..begun) {
            self.file[at] = value;
        }
    }

    /// A barrier that forgets all but the words of `range`: a planted fault.
    pub fn barrier_ends_for(&mut self, begun: usize, range: &std::ops::Range<usize>) {
        let (covered, rest): (Vec<_>, Vec<_>) = self
            .stores
            .drain(..)
            .enumerate()
            .partition(|(i, (at, _))| *i < begun && range.contains(at));
        for (_, (at, value)) in covered {
            self.file[at] = value;
        }
        self.stores = rest.into_iter().map(|(_, store)| store).collect();
    }

    /// The power is cut. `sector` words are written together; `favoured` sectors are newest in half
    /// of the cuts, since a superblock that never arrives early shows little.
    pub fn cut(&mut self, chance: &mut Chance, sector: usize, favoured: &[usize]) {
        let bias = match chance.below(4) {
            0 => Bias::Anything,
            1 => Bias::OldestOrNewest,
            2 => Bias::MostlyNewest,
            _ => Bias::MostlyOld,
        };
        let favour = chance.once_in(2);
        let all = self.stores.len();
        let mut until = vec![usize::MAX; self.file.len() / sector + 1];
        for (i, &(at, value)) in self.stores.iter().enumerate() {
            let until = &mut until[at / sector];
            if *until == usize::MAX {
                // Stores of the sector up to this one arrived.
                *until = if favour && favoured.iter().any(|f| f / sector == at / sector) {
                    all
                } else {
                    match bias {
                        Bias::Anything => chance.below(all + 1),
                        Bias::OldestOrNewest => chance.below(2) * all,
                        Bias::MostlyNewest if chance.once_in(6) => chance.below(all + 1),
                        Bias::MostlyOld if !chance.once_in(6) => chance.below(all + 1),
                        Bias::MostlyNewest | Bias::MostlyOld => all,
                    }
                };
            }
            if i < *until {
                self.file[at] = value;
            }
        }
        self.stores.clear();
        self.memory.copy_from_slice(&self.file);
    }

    /// Changes the file itself, as a growth that did not arrive or as rot does.
    pub fn overwrite(&mut self, at: usize, value: u64) {
        self.file[at] = value;
        self.memory[at] = value;
    }
}
