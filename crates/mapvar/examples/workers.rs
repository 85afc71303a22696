//! A service that gives out jobs, and workers that do them. A killed worker loses no job.
//!
//! A job is a variable `todo/N`. The worker that does it has an ephemeral variable `taken/N`, which
//! ends with the worker: then another worker may take the job. The result and the end of the job
//! are one transaction, so each job has one result.
//!
//!     cargo run -p mapvar --example workers -- serve shop 20
//!     cargo run -p mapvar --example workers -- work shop anna 500    # in other terminals, and
//!     cargo run -p mapvar --example workers -- work shop ben 500     # kill one of them

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use mapvar::Map;
use std::{error::Error, thread, time::Duration};

/// A transaction may fail with any error that can be made from one of mapvar.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn serve(map: &str, jobs: u64) -> Result<()> {
    let map = Map::options().name(map).open_or_create()?;
    // There is one service at a time. The system releases the lock of a killed one.
    let _only = map.lock("service")?.acquire()?;
    let mut changes = map.watch_all()?;
    map.transaction(|tx| {
        // The jobs of a service that was killed are there already.
        if tx.contains("jobs")? {
            return Ok(());
        }
        tx.set("jobs", jobs)?;
        (1..=jobs).try_for_each(|job| tx.set(&format!("todo/{job:04}"), job))
    })?;

    while map.names().prefix("todo/").try_next()?.is_some() {
        let change = changes.recv()?;
        let Some(name) = change.name().strip_prefix("worker/") else { continue };
        match change.find::<String>()? {
            Some(job) => println!("worker {name}: {job}"),
            None => println!("worker {name} is gone"),
        }
    }
    for job in map.names().prefix("done/").sorted()? {
        let (worker, result): (String, u64) = map.get(&job)?;
        println!("{job} = {result} by {worker}");
    }
    map.set("closed", true)?;
    println!("jobs begun: {}", map.atomic_or("begun", 0_u64)?.load()?);
    Ok(())
}

/// Takes a job that no living worker has taken.
fn take(map: &Map, me: &str) -> Result<Option<(String, u64)>> {
    for name in map.names().prefix("todo/").sorted()? {
        let job = name.trim_start_matches("todo/");
        let taken = format!("taken/{job}");
        let number = map.transaction(|tx| {
            // Another worker may have taken it, or even done it, since the names were listed.
            let number = if tx.contains(&taken)? { None } else { tx.find::<u64>(&name)? };
            if number.is_some() {
                tx.set_ephemeral(&taken, me)?;
            }
            Ok(number)
        })?;
        if let Some(number) = number {
            return Ok(Some((job.to_owned(), number)));
        }
    }
    Ok(None)
}

fn work(map: &str, me: &str, duration: Duration) -> Result<()> {
    let map = Map::options().name(map).wait(Duration::from_mins(1)).open()?;
    let begun = map.atomic_or("begun", 0_u64)?;
    let worker = format!("worker/{me}");
    // The watch begins before the first look, so it misses no job.
    let mut changes = map.watch_all()?;
    let mut idle = false;
    loop {
        let Some((job, number)) = take(&map, me)? else {
            if map.contains("closed")? {
                return Ok(());
            }
            if !idle {
                // Once: a set at each turn would wake the other idle workers, and they this one.
                map.set_ephemeral(&worker, "idle")?;
                idle = true;
            }
            changes.recv()?;
            continue;
        };
        idle = false;
        begun.fetch_add(1)?;
        map.set_ephemeral(&worker, &job)?;
        thread::sleep(duration); // It stands for the work.
        let (todo, taken) = (format!("todo/{job}"), format!("taken/{job}"));
        map.try_transaction(|tx| -> Result<()> {
            if tx.find::<String>(&taken)?.as_deref() != Some(me) {
                return Err(format!("another worker has taken job {job}").into());
            }
            tx.set(&format!("done/{job}"), (me, number * number))?;
            tx.remove(&todo)?;
            Ok(tx.remove(&taken)?)
        })?;
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", map, jobs] => serve(map, jobs.parse()?)?,
        ["work", map, name, milliseconds] => {
            work(map, name, Duration::from_millis(milliseconds.parse()?))?;
        }
        _ => return Err("usage: workers (serve MAP JOBS | work MAP NAME MILLISECONDS)".into()),
    }
    Ok(())
}
