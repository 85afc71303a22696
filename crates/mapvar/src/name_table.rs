//! Names with a value each, in one piece of memory: what a transaction or a snapshot touches.

/// A map from names to values that keeps their order. The caller hashes the names.
pub(crate) struct NameTable<T> {
    /// The names, one behind the other.
    text: String,
    entries: Vec<Entry<T>>,
    /// Open addressing, at most half full: numbers of entries, counted from 1; 0 is empty.
    places: Vec<u32>,
}

struct Entry<T> {
    hash: u64,
    /// Where the name ends in `text`; it begins where the one before ends.
    end: usize,
    value: T,
}

impl<T> NameTable<T> {
    pub(crate) fn new() -> Self {
        Self { text: String::new(), entries: Vec::new(), places: Vec::new() }
    }

    pub(crate) fn with_capacity(names: usize) -> Self {
        let entries = Vec::with_capacity(names);
        let places = vec![0; if names == 0 { 0 } else { places_for(names) }];
        Self { text: String::with_capacity(names.saturating_mul(16)), entries, places }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets all names and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.places.fill(0);
    }

    /// Returns the number of the name, if it is there.
    pub(crate) fn find(&self, hash: u64, name: &str) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = start(hash, mask);
        // Ends, since half of the places are empty.
        loop {
            let number = (*self.places.get(at)?).checked_sub(1)? as usize;
            let entry = self.entries.get(number)?;
            if entry.hash == hash && self.name(number) == name {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// Returns the number of the name, and adds the name with `value` if it is new.
    pub(crate) fn find_or_add(
        &mut self,
        hash: u64,
        name: &str,
        value: impl FnOnce() -> T,
    ) -> usize {
        let number = self.entries.len();
        // Before the search, which so ends at the place that the name takes.
        if (number + 1) * 2 > self.places.len() {
            self.places = vec![0; places_for(number + 1)];
            for (number, entry) in self.entries.iter().enumerate() {
                take_place(&mut self.places, entry.hash, number);
            }
        }
        let mask = self.places.len() - 1;
        let mut at = start(hash, mask);
        while let Some(taken) = self.places.get(at).and_then(|place| place.checked_sub(1)) {
            let taken = taken as usize;
            if self.entries.get(taken).is_some_and(|entry| entry.hash == hash)
                && self.name(taken) == name
            {
                return taken;
            }
            at = (at + 1) & mask;
        }
        self.text.push_str(name);
        self.entries.push(Entry { hash, end: self.text.len(), value: value() });
        if let Some(place) = self.places.get_mut(at) {
            *place = u32::try_from(number + 1).unwrap_or(u32::MAX);
        }
        number
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        let end = |number: usize| self.entries.get(number).map_or(0, |entry| entry.end);
        let begin = number.checked_sub(1).map_or(0, end);
        self.text.get(begin..end(number)).unwrap_or_default()
    }

    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        self.entries.get(number).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.entries.get_mut(number).map(|entry| &mut entry.value)
    }

    /// Returns the names with their hashes and values, in the order of their arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64, &T)> {
        let all = self.entries.iter().enumerate();
        all.map(|(number, entry)| (self.name(number), entry.hash, &entry.value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|entry| &mut entry.value)
    }
}

/// A power of two, more than twice the number of names.
fn places_for(names: usize) -> usize {
    (names * 4).next_power_of_two()
}

#[allow(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
fn start(hash: u64, mask: usize) -> usize {
    (hash ^ hash >> 32) as usize & mask
}

fn take_place(places: &mut [u32], hash: u64, number: usize) {
    let Some(mask) = places.len().checked_sub(1) else { return };
    let mut at = start(hash, mask);
    while let Some(place) = places.get_mut(at) {
        if *place == 0 {
            *place = u32::try_from(number + 1).unwrap_or(u32::MAX);
            return;
        }
        at = (at + 1) & mask;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_values_and_their_order() {
        for spread in [true, false] {
            let mut table = NameTable::new();
            // Names with equal hashes are told apart by their text.
            let hash = |number: u64| if spread { number.wrapping_mul(0x9e37_79b9) } else { 7 };
            for number in 0..300_u64 {
                let name = format!("name.{number}");
                assert_eq!(table.find(hash(number), &name), None);
                let at = table.find_or_add(hash(number), &name, || number);
                assert_eq!(at as u64, number);
                assert_eq!(table.find_or_add(hash(number), &name, || 999), at);
            }
            for number in 0..300_u64 {
                let at = table.find(hash(number), &format!("name.{number}")).unwrap();
                assert_eq!((table.get(at), table.len()), (Some(&number), 300));
            }
            assert_eq!(table.find(7, "name.300"), None);
            let numbers: Vec<_> = table.iter().map(|(_, _, number)| *number).collect();
            assert_eq!(numbers, (0..300).collect::<Vec<_>>());
            *table.get_mut(5).unwrap() = 50;
            assert_eq!(table.iter().nth(5).unwrap(), ("name.5", hash(5), &50));
            table.clear();
            assert_eq!((table.len(), table.find(hash(5), "name.5")), (0, None));
            assert_eq!(table.find_or_add(1, "", || 1), 0);
            assert_eq!((table.find(1, ""), table.name(0)), (Some(0), ""));
        }
    }
}
