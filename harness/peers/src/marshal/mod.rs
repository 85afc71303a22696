//! mapvar's Marshal compared with Ruby's. Dumps that Ruby makes come back byte for byte, also with
//! variables removed and added among them; and Ruby loads mapvar's values and dumps the same bytes.

mod peer;
mod values;

use mapvar::Value;
use mapvar_harness::{Random, SKIPPED, figure, seed_of_clock};
use mapvar_marshal::{Dump, dump, load};
use peer::Peer;
use std::{io, process::ExitCode};
use values::Maker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many dumps in each direction
    #[arg(default_value_t = 10_000)]
    count: u64,
    /// Compares 500 dumps in each direction
    #[arg(long)]
    short: bool,
    /// Repeats a run
    #[arg(long, default_value_t = seed_of_clock())]
    seed: u64,
}

/// What was compared, and how often.
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
    /// Compares two dumps; prints where they differ, for the first few failures.
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
            println!("FAILED: {what}, seed {seed} (marshal 1 --seed {seed}): {why}");
        }
    }
}

/// Ruby's dump must come back byte for byte; with one variable removed and one added it must equal
/// Ruby's own result.
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

    let (value, alone) = match (dump.value::<Value>(kept), dump.dump_of(kept)) {
        (Ok(Some(value)), Ok(Some(alone))) => (value, alone),
        other => {
            sum.fail("a value", seed, &format!("{other:?}"));
            return Ok(());
        }
    };
    let wanted = peer.ask(b'V', &[&table, kept.as_bytes()])?;
    // Both are loaded once more, because loading changes which equal keys Ruby shares.
    let found = peer.ask(b'R', &[&alone])?;
    let wanted = peer.ask(b'R', &[&wanted])?;
    sum.alone += u64::from(sum.same("a value alone", seed, &found, &wanted));
    if let Err(flaw) = mapvar_marshal::dump(&value) {
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

/// Ruby must load what mapvar writes, and dump the same bytes.
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
    let back = load::<Value>(&alone);
    if back.as_ref().map(|it| format!("{it:?}")) != Ok(format!("{value:?}")) {
        sum.fail("our value read again", seed, &format!("{back:?}"));
    }
    Ok(())
}

/// Seeds that once found a fault.
const KNOWN: [u64; 1] = [
    // A user-defined object that contains itself, with a link to it after its end.
    542_189_025,
];

fn compare(count: u64, seed: u64) -> io::Result<bool> {
    let mut peer = Peer::start()?;
    let mut sum = Sum::default();
    for known in KNOWN {
        from_ruby(&mut peer, known, &mut sum)?;
    }
    for number in 0..count {
        from_ruby(&mut peer, seed.wrapping_add(number), &mut sum)?;
        from_us(&mut peer, seed.wrapping_add(number), &mut sum)?;
    }
    figure(
        "marshal, dumps of Ruby that come back byte for byte",
        format!("{} with {} failures in all", sum.ruby, sum.failed),
        "10,000, 0",
    );
    figure("marshal, values of ours that Ruby loads and dumps the same", sum.ours, "10,000");
    figure(
        "marshal, dumps with a variable removed and one added that are Ruby's",
        format!(
            "{} of {}, {} to the byte, and {} values alone",
            sum.edited, sum.ruby, sum.exactly, sum.alone
        ),
        "all",
    );
    Ok(sum.failed == 0)
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let Options { count, short, seed } = *options;
    let count = if short { 500 } else { count };
    println!("seed {seed}; repeat with: marshal {count} --seed {seed}");
    match compare(count, seed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("SKIPPED: there is no program ruby");
            ExitCode::from(SKIPPED)
        }
        Err(error) => {
            println!("FAILED: Ruby ended: {error}");
            ExitCode::FAILURE
        }
    }
}
