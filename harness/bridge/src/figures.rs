//! How fast two bridges are beside the engine itself, and what they take. No figure is a failure.

use crate::{
    children::Running,
    engine::Client,
    server::{BUCKET, Server},
};
use mapvar::Map;
use mapvar_harness::{Folder, figure, percentiles, unique, watchdog};
use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

const MANY: u64 = 10_000;
const IDLE: u64 = 1_000;
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Sets whose way is timed, one every 2 ms.
const PACED: u64 = 2_000;
/// How often a figure and its peer take turns.
const ROUNDS: usize = 3;
const BUSY_TIME: Duration = Duration::from_secs(4);
/// Sets that are timed at once.
const SETS: u32 = 50_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// The variable that names a map which this program watches, and does nothing else.
pub const WATCHER: &str = "MAPVAR_BRIDGE_HARNESS_WATCHES";

/// Watches all variables of a map until it is killed.
pub fn watch_whole(name: &str) -> ExitCode {
    let Ok(mut watch) = Map::open(name).and_then(|map| map.watch_all()) else {
        return ExitCode::FAILURE;
    };
    while watch.recv().is_ok() {}
    ExitCode::FAILURE
}

/// Measures with this server.
pub fn run(program: &Path, server: &Path) -> Result<(), String> {
    watchdog::doing("figures");
    let began = Instant::now();
    measure(program, server).map_err(|error| format!("figures: {error}"))?;
    println!("figures took {:?}", began.elapsed());
    Ok(())
}

struct Rig {
    program: PathBuf,
    server: Server,
}

impl Rig {
    fn bridge(&self, map: &str, node: &str, flags: [&str; 2]) -> io::Result<Running> {
        let mut command = Command::new(&self.program);
        command.args(["run", map, "--server", &format!("nats://{}", self.server.address), "-q"]);
        command.args(["--bucket", BUCKET, "--node", node, "--max-rate", "0"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running::start(&mut command)
    }

    fn client(&self) -> io::Result<Client> {
        Client::connect(self.server.address)
    }
}

fn measure(program: &Path, server: &Path) -> io::Result<()> {
    let folder = Folder::new("figures")?;
    let rig = Rig { program: program.into(), server: Server::start(server, folder.path())? };
    let (from, to) = (unique("bridge-from"), unique("bridge-to"));
    let source = new_map(&from)?;
    let copy = new_map(&to)?;
    for number in 0..IDLE {
        source.set(&format!("x.v{number}"), number).map_err(wrong)?;
    }
    let owner = rig.bridge(&from, "a", ["--out", "x."])?;
    let reader = rig.bridge(&to, "b", ["--in", "a."])?;
    wait("the first copy", || Ok(copied(&copy) == IDLE))?;

    idle([("owner", &owner), ("reader", &reader)]);
    latency(&rig, &source, &copy)?;
    throughput(&rig, &source, &copy)?;
    drop(reader);
    sets(&source)?;
    drop(owner);
    reconciliation(&rig, &from, &source)
}

fn idle(bridges: [(&str, &Running); 2]) {
    let before = bridges.map(|(_, bridge)| bridge.processor_time());
    thread::sleep(IDLE_TIME);
    watchdog::step();
    for ((which, bridge), before) in bridges.into_iter().zip(before) {
        let time = bridge.processor_time().saturating_sub(before);
        let share = time.as_secs_f64() / IDLE_TIME.as_secs_f64() * 100.0;
        let what = format!("bridges: {which}, idle with {IDLE} variables, % of a core");
        figure(&what, format!("{share:.2}"), "0.5");
    }
    let memory = bridges.map(|(_, bridge)| bridge.memory().unwrap_or(0) >> 10);
    let what = format!("bridges: resident memory with {IDLE} variables, owner and reader, MiB");
    figure(&what, format!("{memory:?}"), "30");
}

/// From a set in one map to its arrival in the other, beside a put and its arrival at a watch, by
/// turns.
fn latency(rig: &Rig, source: &Map, copy: &Map) -> io::Result<()> {
    source.set("x.paced", 0_u64).map_err(wrong)?;
    wait("x.paced", || Ok(copy.find::<u64>("a.x.paced").map_err(wrong)? == Some(0)))?;
    let mut watch = copy.watch("a.x.paced").map_err(wrong)?;
    let (mut putter, mut watcher) = (rig.client()?, rig.client()?);
    watcher.watch("peer")?;
    // The consumer exists once its first message is here.
    putter.put("peer.paced", 0)?;
    watcher.news()?;
    let (mut bridged, mut own) = (Vec::new(), Vec::new());
    for number in 1..=PACED {
        let began = Instant::now();
        source.set("x.paced", number).map_err(wrong)?;
        let seen = |change: mapvar::Change| change.get::<u64>().unwrap_or(0) >= number;
        while !watch.recv_timeout(PATIENCE).map_err(wrong)?.is_none_or(seen) {}
        bridged.push(began.elapsed());
        thread::sleep(Duration::from_millis(1));
        let began = Instant::now();
        putter.put("peer.paced", number)?;
        watcher.news()?;
        own.push(began.elapsed());
        thread::sleep(Duration::from_millis(1));
        watchdog::step();
    }
    bridged.sort_unstable();
    own.sort_unstable();
    let ([half, most, _], [own_half, own_most, _]) = (percentiles(&bridged), percentiles(&own));
    figure("bridges: set to seen, p50 and p99", format!("{half:?}, {most:?}"), "");
    figure("engine: put to watch, p50 and p99", format!("{own_half:?}, {own_most:?}"), "");
    let ratio = half.as_secs_f64() / own_half.as_secs_f64();
    figure("bridges: set to seen beside the engine's put to watch", format!("{ratio:.2}"), "1.5");
    Ok(())
}

/// Changes that arrive while all variables are set all the time, beside acknowledged puts of as
/// many keys.
fn throughput(rig: &Rig, source: &Map, copy: &Map) -> io::Result<()> {
    let keys: Vec<String> = (0..IDLE).map(|number| format!("busy.v{number}")).collect();
    let mut client = rig.client()?;
    let (mut arrived, mut put) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        arrived.push(arriving(source, copy)?);
        watchdog::step();
        put.push(client.put_for(&keys, BUSY_TIME)?);
        watchdog::step();
    }
    let (arrived, put) = (median(arrived), median(put));
    figure("bridges: changes that arrive, per second", format!("{arrived:.0}"), "");
    figure("engine: acknowledged puts per second", format!("{put:.0}"), "");
    let ratio = arrived / put;
    figure("bridges: arriving changes beside acknowledged puts", format!("{ratio:.2}"), "0.4");
    Ok(())
}

fn arriving(source: &Map, copy: &Map) -> io::Result<f64> {
    let vars: Result<Vec<_>, _> =
        (0..IDLE).map(|number| source.var::<u64>(&format!("x.v{number}"))).collect();
    let vars = vars.map_err(wrong)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let setter = scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Relaxed) {
                for var in &vars {
                    number += 1;
                    var.set(number)?;
                }
                // A busy setter would take one of two cores from the bridges.
                thread::sleep(Duration::from_millis(2));
            }
            mapvar::Result::Ok(())
        });
        let counted = count_changes(copy);
        stop.store(true, Relaxed);
        setter.join().map_err(|_| io::Error::other("the setter panicked"))?.map_err(wrong)?;
        counted
    })
}

fn count_changes(copy: &Map) -> io::Result<f64> {
    thread::sleep(Duration::from_millis(500));
    let mut watch = copy.watch_prefix("a.x.").map_err(wrong)?;
    let began = Instant::now();
    let mut changes = 0;
    while began.elapsed() < BUSY_TIME {
        if let Some(change) = watch.recv_timeout(Duration::from_millis(100)).map_err(wrong)? {
            changes += 1 + change.skipped();
        }
    }
    Ok(changes as f64 / began.elapsed().as_secs_f64())
}

/// A set in the bridged map, beside one in a map that another process watches whole.
fn sets(bridged: &Map) -> io::Result<()> {
    let name = unique("bridge-watched");
    let watched = new_map(&name)?;
    for number in 0..IDLE {
        watched.set(&format!("x.v{number}"), number).map_err(wrong)?;
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.env(WATCHER, &name).stdin(Stdio::null());
    let watcher = Running::start(&mut command)?;
    wait("the watcher", || Ok(watched.participants().map_err(wrong)?.len() > 1))?;
    thread::sleep(Duration::from_millis(200));
    let time = |map: &Map| -> io::Result<f64> {
        let var = map.var::<u64>("x.v0").map_err(wrong)?;
        let began = Instant::now();
        for number in 0..SETS {
            var.set(u64::from(number)).map_err(wrong)?;
        }
        Ok(began.elapsed().as_nanos() as f64 / f64::from(SETS))
    };
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..5 * ROUNDS {
        here.push(time(bridged)?);
        there.push(time(&watched)?);
        watchdog::step();
    }
    if watcher.has_ended() {
        return Err(io::Error::other("the watcher ended"));
    }
    let (here, there) = (median(here), median(there));
    figure(
        "bridges: set in a bridged and in a watched map, ns",
        format!("{here:.0}, {there:.0}"),
        "",
    );
    let ratio = here / there;
    figure("bridges: set beside one in a watched map", format!("{ratio:.2}"), "1.1");
    Ok(())
}

/// From the start of a bridge until an empty map has all that the bucket has, beside a watch of the
/// bucket.
fn reconciliation(rig: &Rig, from: &str, source: &Map) -> io::Result<()> {
    for number in 0..MANY {
        source.set(&format!("x.v{number}"), number + 1).map_err(wrong)?;
    }
    // And x.paced.
    let all = MANY + 1;
    let began = Instant::now();
    let _owner = rig.bridge(from, "a", ["--out", "x."])?;
    {
        let to = unique("bridge-first");
        let copy = new_map(&to)?;
        let _reader = rig.bridge(&to, "b", ["--in", "a."])?;
        let last = format!("a.x.v{}", MANY - 1);
        wait("the copy of all", || {
            Ok(copied(&copy) == all && copy.find::<u64>(&last).map_err(wrong)? == Some(MANY))
        })?;
    }
    let what = format!("bridges: {MANY} variables put and taken, from the start of two bridges");
    figure(&what, format!("{:?}", began.elapsed()), "");
    let (mut bridged, mut own) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let to = unique("bridge-again");
        let copy = new_map(&to)?;
        let began = Instant::now();
        let reader = rig.bridge(&to, "b", ["--in", "a."])?;
        wait("the copy of all", || Ok(copied(&copy) == all))?;
        bridged.push(began.elapsed().as_secs_f64());
        drop(reader);
        let began = Instant::now();
        let mut client = rig.client()?;
        client.watch("a")?;
        for _ in 0..all {
            client.news()?;
        }
        own.push(began.elapsed().as_secs_f64());
        watchdog::step();
    }
    let (bridged, own) = (median(bridged) * 1e3, median(own) * 1e3);
    let what = format!("bridges and engine: {MANY} variables taken, ms");
    figure(&what, format!("{bridged:.1}, {own:.1}"), "");
    let what = format!("bridges: {MANY} variables taken beside a watch of all");
    figure(&what, format!("{:.2}", bridged / own), "4");
    Ok(())
}

fn new_map(name: &str) -> io::Result<Map> {
    Map::options().name(name).create().map_err(wrong)
}

fn copied(copy: &Map) -> u64 {
    copy.names().prefix("a.").count() as u64
}

fn wrong(error: mapvar::Error) -> io::Error {
    io::Error::other(error)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn wait(what: &str, mut done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let began = Instant::now();
    while !done()? {
        if began.elapsed() > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        watchdog::step();
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
