//! `ci/marshal`: see README.md.

mod peer;
mod values;

use mapvar::{
    Value,
    internals::marshal::{Dump, dump, load},
};
use peer::Peer;
use std::{io, process::ExitCode, time::SystemTime};
use values::{Maker, Random};

const USAGE: &str = "ci/marshal [COUNT] [--short] [--seed S]";

/// What was compared.
#[derive(Default)]
struct Sum {
    ruby: u64,
    ours: u64,
    edited: u64,
    exactly: u64,
    alone: u64,
    failed: u64,
}

impl Sum {
    /// Tells where the two differ, for the first few.
    fn same(&mut self, what: &str, seed: u64, found: &[u8], wanted: &[u8]) -> bool {
        if found == wanted {
            return true;
        }
        self.fail(
            what,
            seed,
            &format!("{}\n  and not {}", found.escape_ascii(), wanted.escape_ascii()),
        );
        false
    }

    fn fail(&mut self, what: &str, seed: u64, why: &str) {
        self.failed += 1;
        if self.failed <= 8 {
            println!("FAILED: {what}, seed {seed} (ci/marshal 1 --seed {seed}): {why}");
        }
    }
}

/// Ruby's dump comes back byte for byte; with one variable less and one more it is what Ruby makes.
fn from_ruby(peer: &mut Peer, seed: u64, sum: &mut Sum) -> io::Result<()> {
    let table = peer.ask(b'G', &[&seed.to_be_bytes()])?;
    sum.ruby += 1;
    let dump = match Dump::parse(&table) {
        Ok(dump) => dump,
        Err(flaw) => {
            sum.fail("Ruby's dump", seed, &format!("{flaw}: {}", table.escape_ascii()));
            return Ok(());
        }
    };
    sum.same("Ruby's dump", seed, &dump.encode(), &table);
    let names: Vec<String> = dump.names().map(str::to_owned).collect();
    let mut random = Random::new(seed);
    let gone = &names[random.below(names.len() as u64) as usize];
    let kept = &names[random.below(names.len() as u64) as usize];

    let Some(value) = dump.value(kept) else {
        sum.fail("a value", seed, "there is none");
        return Ok(());
    };
    let alone = dump.dump_of(kept).unwrap_or_default();
    let wanted = peer.ask(b'V', &[&table, kept.as_bytes()])?;
    // Loaded once more: what Ruby shares between equal keys is as it loads it.
    let found = peer.ask(b'R', &[&alone])?;
    let wanted = peer.ask(b'R', &[&wanted])?;
    sum.alone += u64::from(sum.same("a value alone", seed, &found, &wanted));
    if let Err(flaw) = mapvar::internals::marshal::dump(&value) {
        sum.fail("a value put back", seed, &flaw.to_string());
    }

    let other = peer.ask(b'G', &[&(seed ^ 0xffff).to_be_bytes()])?;
    let mut edited = dump.clone();
    if edited.remove(gone) != Ok(true) {
        sum.fail("removing", seed, gone);
    }
    if let Err(flaw) = edited.set_dump("added", &other) {
        sum.fail("adding", seed, &flaw.to_string());
    }
    let edited = edited.encode();
    let wanted = peer.ask(b'E', &[&table, gone.as_bytes(), b"added", &other])?;
    sum.exactly += u64::from(edited == wanted);
    let found = peer.ask(b'R', &[&edited])?;
    let wanted = peer.ask(b'R', &[&wanted])?;
    sum.edited += u64::from(sum.same("removed and added", seed, &found, &wanted));
    Ok(())
}

/// Ruby loads what we write, and writes the same.
fn from_us(peer: &mut Peer, seed: u64, sum: &mut Sum) -> io::Result<()> {
    sum.ours += 1;
    let value = Maker::new(seed).value(4);
    let mut table = Dump::new();
    let set = table.set("it", &value).and_then(|()| table.set("behind", &Value::from(77)));
    let alone = match set.and_then(|()| dump(&value)) {
        Ok(alone) => alone,
        Err(flaw) => {
            sum.fail("our value", seed, &flaw.to_string());
            return Ok(());
        }
    };
    for ours in [&alone, &table.encode()] {
        let theirs = peer.ask(b'R', &[ours])?;
        if !sum.same("our value as Ruby writes it", seed, &theirs, ours) {
            return Ok(());
        }
    }
    let back = load(&alone);
    if back.as_ref().map(|it| format!("{it:?}")) != Ok(format!("{value:?}")) {
        sum.fail("our value read again", seed, &format!("{back:?}"));
    }
    Ok(())
}

/// Seeds that once found a fault.
const KNOWN: [u64; 1] = [
    // A user-defined object that holds itself, linked to once it is done.
    542_189_025,
];

fn run(count: u64, seed: u64) -> io::Result<bool> {
    let mut peer = Peer::start()?;
    let mut sum = Sum::default();
    for known in KNOWN {
        from_ruby(&mut peer, known, &mut sum)?;
    }
    for number in 0..count {
        from_ruby(&mut peer, seed.wrapping_add(number), &mut sum)?;
        from_us(&mut peer, seed.wrapping_add(number), &mut sum)?;
    }
    println!(
        "figure: marshal, dumps of Ruby that come back byte for byte = {} with {} failures in all \
         (goal 10,000, 0)",
        sum.ruby, sum.failed
    );
    println!(
        "figure: marshal, values of ours that Ruby loads and dumps the same = {} (goal 10,000)",
        sum.ours
    );
    println!(
        "figure: marshal, dumps with a variable removed and one added that are Ruby's = {} of {}, \
         {} to the byte, and {} values alone (goal all)",
        sum.edited, sum.ruby, sum.exactly, sum.alone
    );
    Ok(sum.failed == 0)
}

fn main() -> ExitCode {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut seed = since.map_or(1, |since| since.as_nanos() as u64 >> 10 & 0xffff_ffff);
    let mut count = 10_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let number = match argument.as_str() {
            "--short" => {
                count = 500;
                continue;
            }
            "--seed" => arguments.next().and_then(|next| next.parse().ok()).map(|it| seed = it),
            other => other.parse().ok().map(|it| count = it),
        };
        if number.is_none() {
            eprintln!("{argument}?\n{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    println!("seed {seed}; repeat with: ci/marshal {count} --seed {seed}");
    match run(count, seed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAILED: Ruby ended: {error}");
            ExitCode::FAILURE
        }
    }
}
