//! An async task that records the changes of some variables, as a line of JSON each.
//!
//! It ends on a change of the variable "stop". The feature `stream` makes a watch a stream for any
//! executor.
//!
//!     cargo run -p mapvar --features stream --example recorder -- record lab sensor/ log.jsonl
//!     cargo run -p mapvar --features stream --example recorder -- feed lab sensor/ 100

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use mapvar::{Change, Changes, Map, Value};
use serde::Serialize;
use std::{
    fs::File,
    io::{BufWriter, Write},
    time::{Duration, SystemTime},
};
use tokio::time::timeout;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: f64,
    name: &'a str,
    /// `null` if the variable was removed.
    value: Option<Value>,
    /// The number of changes that came too quickly to be recorded.
    skipped: u64,
}

struct Recorder {
    changes: Changes,
    file: BufWriter<File>,
    lines: u64,
}

impl Recorder {
    fn write(&mut self, change: &Change) -> Result<()> {
        let time = SystemTime::UNIX_EPOCH.elapsed()?.as_secs_f64();
        let (name, value, skipped) = (change.name(), change.find::<Value>()?, change.skipped());
        serde_json::to_writer(&mut self.file, &Line { time, name, value, skipped })?;
        self.lines += 1;
        Ok(self.file.write_all(b"\n")?)
    }

    /// Records until it is dropped, or fails. Dropping it loses no change.
    async fn run(&mut self) -> Result<()> {
        loop {
            let change = self.changes.change().await?;
            self.write(&change)?;
        }
    }
}

async fn record(map: &str, prefix: &str, path: &str) -> Result<()> {
    let map = Map::options().name(map).open_or_create()?;
    let mut stop = map.watch("stop")?.into_stream()?;
    let changes = map.watch_prefix(prefix)?.into_stream()?;
    let file = BufWriter::new(File::create(path)?);
    let mut recorder = Recorder { changes, file, lines: 0 };
    // From here on each change is recorded. Others see that, and see it end if this process dies.
    map.set_ephemeral("recorder", path)?;

    tokio::select! {
        failed = recorder.run() => failed?,
        stopped = stop.change() => drop(stopped?),
    }
    // It records what was set before the end, however busy the writers still are.
    if let Ok(failed) = timeout(Duration::from_millis(100), recorder.run()).await {
        failed?;
    }
    recorder.file.flush()?;
    println!("{} changes recorded", recorder.lines);
    Ok(())
}

/// Stands for the programs whose variables are recorded.
fn feed(map: &str, prefix: &str, changes: u32) -> Result<()> {
    let map = Map::options().name(map).wait(Duration::from_mins(1)).open()?;
    let recorder = map.var::<String>("recorder")?;
    if recorder.wait_until(Duration::from_mins(1), |_| true)?.is_none() {
        return Err("there is no recorder".into());
    }
    let temperature = map.var_or(&format!("{prefix}temperature"), 20.0)?;
    for change in 1..=changes {
        temperature.set(20.0 + f64::from(change) / 2.0)?;
    }
    Ok(map.set("stop", true)?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["record", map, prefix, file] => record(map, prefix, file).await,
        ["feed", map, prefix, changes] => feed(map, prefix, changes.parse()?),
        _ => Err("usage: recorder (record MAP PREFIX FILE | feed MAP PREFIX CHANGES)".into()),
    }
}
