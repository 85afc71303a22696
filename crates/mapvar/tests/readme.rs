//! The Rust blocks of the README. They stand there without the lines that make a program of them,
//! so each is copied into a function below, and a test compares the two.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::print_stdout,
    clippy::items_after_statements,
    clippy::redundant_locals,
    reason = "a test fails by a panic, and an example is written as its reader writes"
)]

use std::error::Error;

type Done = Result<(), Box<dyn Error>>;

fn two_processes() -> Done {
    use mapvar::Map;

    let map = Map::options().name("simulator").size(2000).open_or_create()?;
    map.set("speed", 3.5)?;
    map.set("state", "ready")?;

    // In another process:
    let map = Map::open("simulator")?;
    let speed: f64 = map.get("speed")?;
    let state: String = map.get("state")?;
    assert_eq!((speed, state.as_str()), (3.5, "ready"));
    Ok(())
}

fn values(map: &mapvar::Map) -> Done {
    // By name: a hash and a probe.
    map.set("count", 7)?;
    let count: i64 = map.get("count")?;

    // By handle: resolved once, then a few nanoseconds.
    let speed = map.var_or("speed", 0.0)?;
    speed.set(3.5)?;
    assert_eq!((count, speed.get()?), (7, 3.5));

    // A counter for many writers, without a lock.
    let hits = map.atomic_or("hits", 0_i64)?;
    hits.fetch_add(1)?;

    // Any serde type.
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Pose {
        x: f64,
        y: f64,
    }
    map.set("pose", Pose { x: 1.0, y: 2.0 })?;
    assert_eq!(map.get::<Pose>("pose")?, Pose { x: 1.0, y: 2.0 });

    // Megabytes are copied outside every lock, and the map grows under its users.
    let frame = map.var_or("frame", vec![0_u8; 1])?;
    frame.write_bytes(&vec![7; 8 << 20])?;
    let mut buffer = vec![0; 8 << 20];
    assert_eq!(frame.read_bytes(&mut buffer)?, 8 << 20);
    Ok(())
}

fn several(map: &mapvar::Map) -> Done {
    use mapvar::Version;

    map.set("left", 10)?;
    map.set("right", 0)?;
    // Both change or neither does, even if this process is killed. The closure runs again if another
    // writer changed what it read.
    map.transaction(|tx| {
        let left: i64 = tx.get("left")?;
        tx.set("left", left - 3)?;
        tx.set("right", 3)
    })?;
    // Returns both values as of one instant.
    let seen = map.snapshot(["left", "right"])?;
    assert_eq!(seen.get::<i64>("left")? + seen.get::<i64>("right")?, 10);
    // Sets the variable only if it does not exist yet.
    assert!(map.compare_and_set("owner", Version::ABSENT, "me")?.is_set());
    Ok(())
}

fn waiting(map: &mapvar::Map) -> Done {
    use std::time::Duration;

    // Reports or counts every later change of these variables.
    let mut watch = map.watch_any(["speed", "state"])?;
    map.set("speed", 3.5)?;
    let change = watch.recv_timeout(Duration::from_secs(5))?.expect("a change");
    assert_eq!((change.name(), change.get::<f64>()?, change.skipped()), ("speed", 3.5, 0));
    Ok(())
}

fn locks(map: &mapvar::Map) -> Done {
    use mapvar::lock::Acquired;

    // This is a critical section across processes. Waiters get it in order of arrival.
    let guard = map.lock("calibration")?.acquire()?;
    if let Acquired::Abandoned(lost) = guard.acquired() {
        println!("{lost} lost the lock without releasing it");
    }
    assert_eq!(map.participants()?[0].holds, ["calibration"]);
    guard.release()?;

    // This variable ends when the process closes the map or dies, in whatever way.
    map.set_ephemeral("worker/7", "busy")?;
    assert_eq!(map.owner("worker/7")?.map(|owner| owner.pid), Some(std::process::id()));
    Ok(())
}

fn files() -> Done {
    use mapvar::Map;

    let map = Map::options().file("state.map").size(1024).open_or_create()?;
    map.set("position", 42)?;
    map.flush()?; // from here on it survives a power cut
    map.close()?;
    Ok(())
}

fn gem() -> Done {
    use mapvar::{Format, Map, gem::OnClobber};

    let map = Map::options()
        .name("old-fleet")
        .size(2000)
        .format(Format::Marshal)
        // The gem writes all its variables at once, and so erases those that it has not seen.
        .gem(|gem| gem.on_clobber(OnClobber::Reassert))
        .open_or_create()?;
    map.set("foo", "hello")?;
    assert_eq!(map.get::<String>("foo")?, "hello");
    Ok(())
}

#[test]
fn the_rust_blocks_of_the_readme_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let back = std::env::current_dir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    let name = format!("readme.{}", std::process::id());
    let map = mapvar::Map::options().name(&name).create().unwrap();
    two_processes().unwrap();
    values(&map).unwrap();
    several(&map).unwrap();
    waiting(&map).unwrap();
    locks(&map).unwrap();
    files().unwrap();
    gem().unwrap();
    std::env::set_current_dir(back).unwrap();
}

#[test]
fn each_rust_block_of_the_readme_stands_here() {
    let lines = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let here = lines(include_str!("readme.rs"));
    let mut blocks = 0;
    for block in include_str!("../../../README.md").split("```rust\n").skip(1) {
        let block = block.split("```").next().unwrap();
        assert!(here.contains(lines(block).trim()), "this block is not tested:\n{block}");
        blocks += 1;
    }
    assert!(blocks >= 7, "the blocks were not found");
}
