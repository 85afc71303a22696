//! Very many variables in one map: built by this process, attached and read by a second one, and
//! recovered by a third from a copy of the file. `ci/many` runs it.
//!
//! Each value follows from its variable's number, so that all of them can be verified. What it takes
//! is printed; beside the reads stand those of a `HashMap` with the same names and values, in the
//! same process, one after the other.

use mapvar::{Map, MapOptions};
use std::{
    collections::HashMap,
    env,
    error::Error,
    fmt::Write as _,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

const USAGE: &str = "ci/many [N] [--folder FOLDER]: N variables (ten million), in a file in FOLDER";

/// Names that are looked up at random.
const LOOKUPS: usize = 1_000_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let done = match Task::parse(env::args().skip(1)) {
        Some(Task::All { count, folder }) => all(count, folder.as_deref()),
        Some(Task::Attach { count, path }) => attach(count, &path),
        Some(Task::Recover { count, path }) => recover(count, &path),
        None => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("WRONG: {error}");
            ExitCode::FAILURE
        }
    }
}

enum Task {
    All { count: u64, folder: Option<PathBuf> },
    Attach { count: u64, path: PathBuf },
    Recover { count: u64, path: PathBuf },
}

impl Task {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let (mut count, mut folder) = (10_000_000, None);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--folder" => folder = Some(args.next()?.into()),
                "attach" | "recover" => {
                    let (count, path) = (args.next()?.parse().ok()?, args.next()?.into());
                    return Some(if arg == "attach" {
                        Self::Attach { count, path }
                    } else {
                        Self::Recover { count, path }
                    });
                }
                number => count = number.parse().ok().filter(|count| *count > 0)?,
            }
        }
        Some(Self::All { count, folder })
    }
}

/// The map's largest size: more than the variables can take.
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

/// Numbers below `count` in an order that looks random.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x1234_5678_9abc_def1_u64;
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) % count
    })
}

fn figure(what: &str, value: &str) {
    println!("figure: variables in one map, {what} = {value}");
}

fn each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count as f64
}

fn all(count: u64, folder: Option<&Path>) -> Result<()> {
    let folder = match folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let path = folder.path().join("many.map");
    let map = options(&path, count).create()?;
    let mut text = String::new();
    let began = Instant::now();
    for number in 0..count {
        map.set(name(number, &mut text), value(number))?;
    }
    let built = began.elapsed();
    let stat = map.stat()?;
    if map.len()? != count {
        return Err(format!("{} variables of {count}", map.len()?).into());
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

    // The copy has another identity: it is recovered as after a power cut.
    map.close()?;
    let copy = folder.path().join("copy.map");
    fs::copy(&path, &copy)?;
    fs::remove_file(&path)?;
    again("recover", count, &copy)
}

/// This program once more, as a second process.
fn again(task: &str, count: u64, path: &Path) -> Result<()> {
    let status =
        Command::new(env::current_exe()?).args([task, &count.to_string()]).arg(path).status()?;
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
    for number in scattered(count).take(LOOKUPS) {
        let found: u64 = map.get(name(number, &mut text))?;
        if found != value(number) {
            return Err(format!("{text} is {found:x}").into());
        }
    }
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

fn recover(count: u64, path: &Path) -> Result<()> {
    let began = Instant::now();
    let map = options(path, count).open()?;
    let recovered = began.elapsed();
    if map.recovery().is_none() {
        return Err("the copy was not recovered".into());
    }
    let mut text = String::new();
    for number in scattered(count).take(LOOKUPS) {
        let found: u64 = map.get(name(number, &mut text))?;
        if found != value(number) {
            return Err(format!("recovered: {text} is {found:x}").into());
        }
    }
    if map.len()? != count {
        return Err(format!("recovered: {} variables of {count}", map.len()?).into());
    }
    figure(
        "recovered as after a power cut",
        &format!("{:.1} s, all {count} there", recovered.as_secs_f64()),
    );
    Ok(())
}
