//! Power cuts on real files: a process sets, removes, flushes and is killed. The harness has its
//! file from three moments: when a flush returned, while the process ran, and after the kill. It
//! makes disks of them, sector by sector. The library sees each disk as a new file of another boot,
//! so it recovers it.

use mapvar::{Map, Recover};
use mapvar_engine::layout;
use mapvar_engine_sim::power::Random;
use mapvar_harness::{
    Folder,
    contents::{self, Content, Op},
    peer::{self, Owned},
    watchdog,
};
use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::Stdio,
    thread,
    time::Duration,
};

const SECTOR: usize = 512;

/// Runs the process that is killed. It writes `b` before each operation and `e` after it. After a
/// flush it writes `f` instead, and waits until the harness has its copy.
pub fn writer(path: &str, seed: u64) -> mapvar::Result<()> {
    let map = Map::options().file(path).open()?;
    let mut random = mapvar_harness::Random::new(seed);
    let (mut out, mut input) = (std::io::stdout().lock(), std::io::stdin().lock());
    let mut say = |byte: u8| out.write_all(&[byte]).and_then(|()| out.flush()).is_ok();
    for stamp in 1.. {
        let op = Op::next(&mut random, stamp);
        // A failed write means that the harness is gone.
        if !say(b'b') {
            break;
        }
        op.run(&map)?;
        let flush = matches!(op, Op::Flush);
        if !say(if flush { b'f' } else { b'e' }) || (flush && input.read_exact(&mut [0]).is_err()) {
            break;
        }
    }
    Ok(())
}

#[derive(Default)]
pub struct Counts {
    pub kills: u64,
    pub images: u64,
    pub values: u64,
    /// Images that mix several versions of the file.
    pub mixed: u64,
}

/// The versions of a file from which the disk may have sectors, oldest first, and the contents that
/// the map may have.
struct Killed {
    versions: Vec<Vec<u8>>,
    allowed: Vec<Content>,
}

/// Returns the number of the last complete flush.
fn complete(file: &[u8]) -> Option<&[u8]> {
    let at = (layout::live::AT as usize) + layout::live::EPOCH * 8;
    file.get(at..at + 8)
}

/// Runs a process on a new map, kills it some time after a flush, and returns the possible results.
fn kill_one(path: &Path, seed: u64, random: &mut Random) -> Result<Killed, String> {
    let message = |error: std::io::Error| error.to_string();
    let options = Map::options().file(path).size(4_000 + random.below(60_000));
    drop(options.create().map_err(|it| it.to_string())?);
    let mut command = peer::this(["--writer", &path.to_string_lossy(), &seed.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Owned::start(&mut command).map_err(message)?;
    let (Some(mut input), Some(mut output)) = (child.0.stdin.take(), child.0.stdout.take()) else {
        return Err("no pipes".into());
    };
    let (mut now, mut flushed, mut under_way) = (Content::new(), Content::new(), None);
    let (mut ops, mut stamp) = (mapvar_harness::Random::new(seed), 0);
    let mut op = None;
    let mut versions = Vec::new();
    let mut heard = |byte: u8, now: &mut Content, flushed: &mut Content| match byte {
        b'b' => {
            stamp += 1;
            let next = Op::next(&mut ops, stamp);
            under_way = matches!(next, Op::Flush).then(|| now.clone());
            op = Some(next);
        }
        _ => {
            if let Some(op) = op.take() {
                op.apply(now);
            }
            if byte == b'f' {
                *flushed = now.clone();
            }
            under_way = None;
        }
    };
    let mut left = 1 + random.below(4);
    let mut byte = [0];
    while left > 0 {
        output.read_exact(&mut byte).map_err(|error| format!("the writer ended: {error}"))?;
        heard(byte[0], &mut now, &mut flushed);
        if byte[0] == b'f' {
            left -= 1;
            versions = vec![fs::read(path).map_err(message)?];
            // The copy also has the writes since the flush's barrier began: it is one of the
            // possible disks.
            input.write_all(&[0]).map_err(message)?;
        }
    }
    let longest = [200, 1_000, 5_000, 20_000][random.below(4) as usize];
    let (first, second) = (random.below(longest), random.below(longest));
    thread::sleep(Duration::from_micros(first));
    if random.below(2) == 0 {
        versions.push(fs::read(path).map_err(message)?);
        thread::sleep(Duration::from_micros(second));
    }
    child.0.kill().map_err(message)?;
    child.0.wait().map_err(message)?;
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).map_err(message)?;
    for byte in rest {
        heard(byte, &mut now, &mut flushed);
    }
    let last = fs::read(path).map_err(message)?;
    if versions.iter().any(|it| complete(it) != complete(&last)) {
        // Another flush brought newer data to the disk, reported or not.
        versions.clear();
        if let Some(seen) = under_way.take() {
            flushed = seen;
        }
    }
    versions.push(last);
    let mut allowed = vec![flushed];
    allowed.extend(under_way);
    Ok(Killed { versions, allowed })
}

/// Returns a disk: each sector from one of the versions, and in some sectors each word from one.
/// Also returns whether several versions occur in it.
fn image(killed: &Killed, random: &mut Random) -> (Vec<u8>, bool) {
    let versions = &killed.versions;
    let count = versions.len() as u64;
    let len = versions[random.below(count) as usize].len();
    let style = random.below(5);
    let torn = random.below(3) == 0;
    let mut bytes = vec![0; len];
    let mut of = vec![false; versions.len()];
    let one = |random: &mut Random| {
        let any = random.below(count) as usize;
        let few = random.below(10) == 0;
        match style {
            0 if !few => 0,
            1 if !few => versions.len() - 1,
            _ => any,
        }
    };
    for at in (0..len).step_by(SECTOR) {
        let alone = torn && random.below(4) == 0;
        let mut version = one(random);
        for word in (at..(at + SECTOR).min(len)).step_by(8) {
            if alone {
                version = one(random);
            }
            of[version] = true;
            // Beyond its end a file has zeros.
            if let Some(from) = versions[version].get(word..word + 8) {
                bytes[word..word + 8].copy_from_slice(from);
            }
        }
    }
    (bytes, of.iter().filter(|it| **it).count() > 1)
}

fn judge(path: &Path, killed: &Killed, tidy: bool) -> Result<u64, String> {
    let message = |error: mapvar::Error| error.to_string();
    // The image is of this boot, as a copy of a file in use would be.
    let options = Map::options().file(path).recover(Recover::AcceptLoss);
    let map = options.open().map_err(message)?;
    let recovery = map.recovery().ok_or("it was not recovered")?;
    if recovery.lost > 0 || recovery.damaged {
        return Err(format!("a recovery reports damage where there is none: {recovery:?}"));
    }
    let found = contents::read(&map).map_err(message)?;
    if !killed.allowed.contains(&found) {
        let allowed: Vec<_> = killed.allowed.iter().map(contents::brief).collect();
        return Err(format!("recovered {:?}, allowed {allowed:?}", contents::brief(&found)));
    }
    if tidy {
        contents::tidy(&map)?;
    }
    Ok(found.len() as u64)
}

/// Kills `kills` processes, and makes `images` disks of each.
pub fn run(first: u64, kills: u64, images: u64) -> (Counts, Vec<(u64, String)>) {
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    // The writer uses a file system with a device, if there is one. The disks need none, and in
    // memory the library waits a thousandth as long for each.
    let (dir, disks) = match (Folder::new("power"), Folder::quick("power-disks")) {
        (Ok(dir), Ok(disks)) => (dir, disks),
        (Err(error), _) | (_, Err(error)) => return (counts, vec![(first, error.to_string())]),
    };
    for seed in first..first + kills {
        let mut random = Random(seed ^ 0xf11e);
        let path = dir.join("live.map");
        let killed = match kill_one(&path, seed, &mut random) {
            Ok(killed) => killed,
            Err(message) => {
                wrong.push((seed, message));
                break;
            }
        };
        counts.kills += 1;
        let _ = fs::remove_file(&path);
        for number in 0..images {
            watchdog::step();
            let path = disks.join(format!("disk-{number}.map"));
            let (bytes, mixed) = image(&killed, &mut random);
            let made = fs::write(&path, bytes).map_err(|error| error.to_string());
            match made.and_then(|()| judge(&path, &killed, random.below(4) == 0)) {
                Ok(values) => counts.values += values,
                Err(message) => wrong.push((seed, message)),
            }
            counts.images += 1;
            counts.mixed += u64::from(mixed);
            let _ = fs::remove_file(&path);
        }
        if !wrong.is_empty() {
            break;
        }
    }
    (counts, wrong)
}
