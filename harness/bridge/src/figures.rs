//! How fast two bridges are, and what they take. No figure is a failure.

use crate::{
    children::Running,
    server::{BUCKET, Server},
};
use mapvar::Map;
use mapvar_harness::{Folder, figure, percentiles, unique, watchdog};
use std::{
    io,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const MANY: u64 = 10_000;
const IDLE: u64 = 1_000;
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Sets whose way is timed, one a millisecond.
const PACED: u64 = 3_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// Measures with this server.
pub fn run(program: &Path, server: &Path) -> Result<(), String> {
    watchdog::doing("figures");
    let failed = |error: io::Error| error.to_string();
    let wrong = |error: mapvar::Error| error.to_string();
    let folder = Folder::new("figures").map_err(failed)?;
    let server = Server::start(server, folder.path()).map_err(failed)?;
    let (from, to) = (unique("bridge-from"), unique("bridge-to"));
    let source = Map::options().name(&from).create().map_err(wrong)?;
    let copy = Map::options().name(&to).create().map_err(wrong)?;
    for number in 0..IDLE {
        source.set(&format!("x.v{number}"), number).map_err(wrong)?;
    }
    let start = |map: &str, node: &str, flags: [&str; 2]| {
        let mut command = Command::new(program);
        command.args(["run", map, "--server", &format!("nats://{}", server.address), "-q"]);
        command.args(["--bucket", BUCKET, "--node", node, "--max-rate", "0"]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running::start(&mut command)
    };
    let began = Instant::now();
    let owner = start(&from, "a", ["--out", "x."]).map_err(failed)?;
    let reader = start(&to, "b", ["--in", "a."]).map_err(failed)?;
    let arrived = |count: u64| wait(|| Ok(copy.names().prefix("a.").count() as u64 == count));
    arrived(IDLE).map_err(wrong)?;

    let before = [owner.processor_time(), reader.processor_time()];
    thread::sleep(IDLE_TIME);
    watchdog::step();
    let after = [owner.processor_time(), reader.processor_time()];
    for (which, at) in [("owner", 0), ("reader", 1)] {
        let share =
            after[at].saturating_sub(before[at]).as_secs_f64() / IDLE_TIME.as_secs_f64() * 100.0;
        let what = format!("bridges: {which}, idle with {IDLE} variables, % of a core");
        figure(&what, format!("{share:.2}"), "0.5");
    }
    let memory = [&owner, &reader].map(|bridge| bridge.memory().unwrap_or(0) >> 10);
    let what = format!("bridges: resident memory with {IDLE} variables, owner and reader, MiB");
    figure(&what, format!("{memory:?}"), "30");

    source.set("x.paced", 0_u64).map_err(wrong)?;
    wait(|| Ok(copy.find::<u64>("a.x.paced")? == Some(0))).map_err(wrong)?;
    let mut watch = copy.watch("a.x.paced").map_err(wrong)?;
    let mut times = Vec::new();
    for number in 1..=PACED {
        let began = Instant::now();
        source.set("x.paced", number).map_err(wrong)?;
        while watch
            .recv_timeout(PATIENCE)
            .map_err(wrong)?
            .is_some_and(|change| change.get::<u64>().unwrap_or(0) < number)
        {}
        times.push(began.elapsed());
        watchdog::step();
        thread::sleep(Duration::from_millis(1));
    }
    times.sort_unstable();
    let [half, most, _] = percentiles(&times);
    figure("bridges: set to seen, p50 and p99", format!("{half:?}, {most:?}"), "");

    drop((owner, reader));
    for number in 0..MANY {
        source.set(&format!("x.v{number}"), number + 1).map_err(wrong)?;
    }
    let reset = Instant::now();
    let _bridges = [
        start(&from, "a", ["--out", "x."]).map_err(failed)?,
        start(&to, "b", ["--in", "a."]).map_err(failed)?,
    ];
    let last = format!("a.x.v{}", MANY - 1);
    wait(|| Ok(copy.names().prefix("a.").count() as u64 == MANY + 1)).map_err(wrong)?;
    wait(|| Ok(copy.find::<u64>(&last)? == Some(MANY))).map_err(wrong)?;
    let what = format!("bridges: {MANY} variables put and taken, from the start of two bridges");
    figure(&what, format!("{:?}", reset.elapsed()), "");
    println!("figures took {:?}", began.elapsed());
    Ok(())
}

fn wait(mut done: impl FnMut() -> mapvar::Result<bool>) -> mapvar::Result<()> {
    let began = Instant::now();
    while !done()? && began.elapsed() < PATIENCE {
        watchdog::step();
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
