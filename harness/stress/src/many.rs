//! Very many variables in one map: this process builds it, a second one attaches and reads it, and
//! a third one recovers it from a copy of the file.
//!
//! Each value follows from its variable's number, so all of them can be verified. The run prints
//! the durations. Beside the reads it prints those of a `HashMap` with the same names and values,
//! in the same process, one after the other.

use mapvar::{Map, MapOptions};
use mapvar_harness::{Folder, Random};
use std::{
    collections::HashMap,
    error::Error,
    fmt::Write as _,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// How many names are looked up at random.
const LOOKUPS: usize = 1_000_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many variables
    #[arg(default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// The folder of the map's file
    #[arg(long)]
    folder: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    exit_code(&all(options.count, options.folder.as_deref()))
}

pub(crate) fn role(words: &[&str]) -> ExitCode {
    let [task, count, path] = words else { panic!("no role {words:?}") };
    let (count, path) = (count.parse().expect("a number"), Path::new(path));
    exit_code(&if *task == "attach" { attach(count, path) } else { recover(count, path) })
}

fn exit_code(done: &Result<()>) -> ExitCode {
    if let Err(error) = done {
        println!("WRONG: {error}");
    }
    crate::verdict(done.is_ok())
}

/// Returns the map's options; the maximum size exceeds what the variables can take.
fn options(path: &Path, count: u64) -> MapOptions {
    Map::options().file(path).max_size((count * 600).max(1 << 26)).timeout(Duration::from_mins(5))
}

fn name(number: u64, into: &mut String) -> &str {
    into.clear();
    write!(into, "plant/{:03}/sensor/{number:08}", number % 1000).expect("text takes it");
    into
}

fn value(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Returns numbers below `count` in a pseudorandom order.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    let mut random = Random::new(1);
    std::iter::repeat_with(move || random.below(count))
}

fn figure(what: &str, value: &str) {
    mapvar_harness::figure(&format!("variables in one map, {what}"), value, "");
}

fn each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count as f64
}

fn all(count: u64, folder: Option<&Path>) -> Result<()> {
    let folder = match folder {
        Some(folder) => Folder::within(folder, "many")?,
        None => Folder::new("many")?,
    };
    let path = folder.join("many.map");
    let map = options(&path, count).create()?;
    let mut text = String::new();
    let began = Instant::now();
    for number in 0..count {
        map.set(name(number, &mut text), value(number))?;
    }
    let built = began.elapsed();
    let stat = map.stat()?;
    if map.count()? != count {
        return Err(format!("{} variables of {count}", map.count()?).into());
    }
    figure(
        "built",
        &format!("{count} in {:.1} s, {:.0} ns each", built.as_secs_f64(), each(built, count)),
    );
    figure(
        "size",
        &format!(
            "{} MB, {:.0} bytes a variable",
            stat.region / 1_000_000,
            stat.region as f64 / count as f64
        ),
    );
    let began = Instant::now();
    map.flush()?;
    figure("flushed", &format!("{:.1} s", began.elapsed().as_secs_f64()));

    again("attach", count, &path)?;

    // The copy has another identity, so the open recovers it as after a power cut.
    map.close()?;
    let copy = folder.join("copy.map");
    fs::copy(&path, &copy)?;
    fs::remove_file(&path)?;
    again("recover", count, &copy)
}

/// Runs a role of this program in a second process.
fn again(task: &str, count: u64, path: &Path) -> Result<()> {
    let status = crate::child("many", task, [&*count.to_string()]).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(format!("{task}: {status}").into()) }
}

fn attach(count: u64, path: &Path) -> Result<()> {
    let began = Instant::now();
    let map = options(path, count).open()?;
    let mut text = String::new();
    let first: u64 = map.get(name(count / 2, &mut text))?;
    let attached = began.elapsed();
    if first != value(count / 2) {
        return Err("the first value is another's".into());
    }
    figure(
        "attached and one read by a second process",
        &format!("{:.2} ms", attached.as_secs_f64() * 1e3),
    );

    let began = Instant::now();
    verify(&map, count)?;
    let ours = began.elapsed();

    let began = Instant::now();
    let mut seen = 0;
    for entry in &map {
        let entry = entry?;
        let number: u64 = entry.name()[17..].parse()?;
        let found: u64 = entry.get()?;
        if found != value(number) {
            return Err(format!("{} is {found:x}", entry.name()).into());
        }
        seen += 1;
    }
    if seen != count {
        return Err(format!("{seen} variables were seen of {count}").into());
    }
    figure(
        "all walked and verified",
        &format!(
            "{:.1} s, {:.0} ns each",
            began.elapsed().as_secs_f64(),
            each(began.elapsed(), count)
        ),
    );

    let began = Instant::now();
    let check = map.check()?;
    if !check.is_whole() || check.variables() != count {
        return Err(format!("check: {:?}", check.findings()).into());
    }
    figure("check()", &format!("{:.1} s", began.elapsed().as_secs_f64()));

    let peer: HashMap<String, u64> =
        (0..count).map(|number| (name(number, &mut text).to_owned(), value(number))).collect();
    let began = Instant::now();
    for number in scattered(count).take(LOOKUPS) {
        let found = peer.get(name(number, &mut text));
        if black_box(found) != Some(&value(number)) {
            return Err("the peer is wrong".into());
        }
    }
    let theirs = began.elapsed();
    figure(
        "get by name at random",
        &format!(
            "{:.0} ns, {:.2} of std's HashMap<String, u64> ({:.0} ns)",
            each(ours, LOOKUPS as u64),
            ours.as_secs_f64() / theirs.as_secs_f64(),
            each(theirs, LOOKUPS as u64)
        ),
    );
    Ok(())
}

/// Reads variables at random, and verifies their values.
fn verify(map: &Map, count: u64) -> Result<()> {
    let mut text = String::new();
    for number in scattered(count).take(LOOKUPS) {
        let found: u64 = map.get(name(number, &mut text))?;
        if found != value(number) {
            return Err(format!("{text} is {found:x}").into());
        }
    }
    Ok(())
}

fn recover(count: u64, path: &Path) -> Result<()> {
    let began = Instant::now();
    let map = options(path, count).open()?;
    let recovered = began.elapsed();
    if map.recovery().is_none() {
        return Err("the copy was not recovered".into());
    }
    verify(&map, count)?;
    if map.count()? != count {
        return Err(format!("recovered: {} variables of {count}", map.count()?).into());
    }
    figure(
        "recovered as after a power cut",
        &format!("{:.1} s, all {count} there", recovered.as_secs_f64()),
    );
    Ok(())
}
