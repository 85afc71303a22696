//! The end of a map: its last user is killed, and nothing may be left of it.

use super::{
    DRIVER, DYING, Run, faults, lock, other,
    settle::{Perhaps, settle},
    whole,
};
use crate::{
    kill::{
        leaks,
        order::{Ended, Killer, Order, When},
        shared::word,
        ways::{Phase, Way},
        work::{Flaw, Worker, options, private},
    },
    region::{LIMIT, Place, objects},
};
use mapvar::{ErrorKind, Map};
use mapvar_harness::Random;
use serde_bytes::Bytes;
use std::{
    thread,
    time::{Duration, Instant},
};

impl Run<'_> {
    /// Verifies that a name disappears with its last user, without any further call.
    pub(super) fn closed_by_the_last(target: &Place) -> Result<(), Flaw> {
        let target = private(target, DRIVER);
        let Place::Name(name) = &target else { return Ok(()) };
        drop(options(&target).create()?);
        nothing_left(name)
    }

    /// Kills the last user of a map: its name must disappear, and its file must hold what was
    /// acknowledged, also if the file system is mounted anew before the next process opens it.
    pub(super) fn last_one_killed(
        &self,
        map: Map,
        mut driver: Worker<'_>,
        target: &Place,
        passing: u64,
        seed: u64,
        killer: &mut dyn Killer,
    ) -> Result<(), Flaw> {
        let dying = self.shared.actor(DYING);
        let mut maker = Worker::of(map.clone(), target, dying, 1 << 24, passing, Random::new(seed));
        maker.make_own()?;
        driver.make_common()?;
        drop(maker);
        let mut held = Some((map, driver));
        // Without a mount there is nothing to repeat.
        let rounds = if self.is_mounted() { 4 } else { 1 };
        for round in 0..rounds {
            let order = Order {
                seed: seed ^ round,
                actor: DYING,
                life: (1 << 25) + round,
                only: None,
                passing,
                when: When::Told,
                delay: Duration::from_micros(200),
                way: Way::Left,
                linger: Duration::ZERO,
                target: target.clone(),
            };
            let mut seen = Ok(());
            let ended = killer.run(&order, &self.shared, &mut |phase, _| match phase {
                Phase::Ready => held = None,
                // The process is still a zombie when the next one opens the map.
                Phase::Dead => {
                    dying.put(word::STOP, 1);
                    seen = self.open_after(target, passing, seed);
                }
                _ => {}
            });
            dying.put(word::STOP, 1);
            if let Ended::Otherwise(how) = ended.map_err(other)? {
                return Err(Flaw::Other(format!("a process {how}")));
            }
            seen?;
            dying.put(word::STOP, 0);
        }
        if let Place::File(path) = target {
            let _ = std::fs::remove_file(path);
        }
        remove_private(&private(target, DYING))?;
        dying.cancel();
        self.nothing_in_the_folders()
    }

    /// Opens the map whose last user was killed.
    fn open_after(&self, target: &Place, passing: u64, seed: u64) -> Result<(), Flaw> {
        let dying = self.shared.actor(DYING);
        match target {
            Place::Name(_) => {
                // The process may be seen as gone a moment before all its resources are.
                let began = Instant::now();
                loop {
                    match options(target).open() {
                        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                        Ok(_) if began.elapsed() < LIMIT => thread::sleep(Duration::from_millis(1)),
                        Ok(_) => {
                            return Err(Flaw::Leaked("a name whose users are all gone".into()));
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Place::File(_) => {
                self.mount_again().map_err(other)?;
                let map = match options(target).open() {
                    // After a remount only process numbers tell whether the users of before live,
                    // and another program may have one of these numbers by now.
                    Err(error)
                        if self.is_mounted()
                            && error.kind() == ErrorKind::Unsupported
                            && !error.to_string().contains("mapvar-stress") =>
                    {
                        lock(&self.counts).taken += 1;
                        options(target).take_over(true).open()
                    }
                    map => map,
                }?;
                let actor = self.shared.actor(DRIVER);
                let mut verifier = Worker::of(map, target, actor, 1, passing, Random::new(seed));
                settle(&mut verifier, dying, target, passing, true, &mut Perhaps::default())?;
                whole(&verifier.map, "after the last one")
            }
        }
    }

    fn nothing_in_the_folders(&self) -> Result<(), Flaw> {
        let mut files = leaks::files(self.place.folder.path());
        if cfg!(windows) {
            // On Windows a killed creator leaves such files there, as docs/PLATFORM.md says.
            let (left, others) = files.into_iter().partition::<Vec<_>, _>(|name| {
                name.starts_with(".mapvar-") && name.strip_suffix(".new").is_some()
            });
            for name in &left {
                std::fs::remove_file(self.place.folder.join(name)).map_err(other)?;
            }
            lock(&self.counts).unpublished += left.len() as u64;
            files = others;
        }
        files.extend(self.files_mounted());
        if files != ["shared"] {
            return Err(Flaw::Leaked(format!("left in the folder: {files:?}")));
        }
        Ok(())
    }
}

/// Verifies that no object of the system has a name that contains `name`.
pub(super) fn nothing_left(name: &str) -> Result<(), Flaw> {
    let left = objects(name);
    if left.is_empty() {
        return Ok(());
    }
    Err(Flaw::Leaked(format!("left in /dev/shm: {left:?}")))
}

/// Waits until a process ends by itself; returns how it ended.
pub(super) fn wait(mut child: std::process::Child, limit: Duration) -> Result<String, Flaw> {
    let began = Instant::now();
    loop {
        match child.try_wait().map_err(other)? {
            Some(status) => {
                return Ok(status.code().map_or("a signal".into(), |code| format!("exit {code}")));
            }
            None if began.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Flaw::Hung("the survivors do not end".into()));
            }
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Removes all variables. No space may stay in use, except by the records of Atomics, which wait
/// for an Atomic of the same name.
pub(super) fn emptied(map: &Map, target: &Place, atomics: u64) -> Result<(), Flaw> {
    let mut state = String::new();
    for _ in 0..8 {
        map.clear()?;
        // A value that does not fit makes the engine examine everything that dead processes left
        // behind.
        let stat = map.stat()?;
        let len = stat.free as usize + (64 << 10);
        match map.set("sweep", Bytes::new(&vec![0; len])) {
            // The map may not grow that far; the engine examined everything nonetheless.
            Err(error) if error.kind() == ErrorKind::Full => {}
            done => done?,
        }
        map.remove("sweep")?;
        if target.is_file() {
            // Removed variables are reclaimed once two flushes have seen them.
            map.flush()?;
            map.flush()?;
        }
        let (stat, check) = (map.stat()?, map.check()?);
        let kept = atomics * if target.is_file() { 320 } else { 192 };
        if stat.used == kept && check.findings().is_empty() && stat.variables == 0 {
            return Ok(());
        }
        state = format!(
            "{} bytes are used where {} would be, {} variables; {}",
            stat.used,
            kept,
            stat.variables,
            faults(&check)
        );
    }
    Err(Flaw::Leaked(state))
}

/// The number of seats for processes.
const SEATS: usize = 128;

/// Verifies that every seat but this process's own can be taken, and so can the slots of writing
/// threads.
pub(super) fn seats(map: &Map, target: &Place) -> Result<(), Flaw> {
    // A value that is filled outside its record needs a seat for its process.
    let take = |map: &Map| map.set("seat", Bytes::new(&[0; 3_000]));
    take(map)?;
    let mut others = Vec::new();
    let began = Instant::now();
    for number in 1..SEATS {
        let other = options(target).open()?;
        // A process that was killed may keep its seat for some milliseconds.
        while let Err(error) = take(&other) {
            if began.elapsed() > LIMIT {
                return Err(Flaw::Leaked(format!("of {SEATS} seats {number} can be had: {error}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
        others.push(other);
    }
    map.remove("seat")?;
    Ok(())
}

/// Removes the map of a single actor: under a name there must be none any more, in a file it must
/// be whole.
pub(super) fn remove_private(target: &Place) -> Result<(), Flaw> {
    match options(target).open() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(map) => {
            whole(&map, &format!("{target:?}"))?;
            drop(map);
            match target {
                Place::File(path) => std::fs::remove_file(path).map_err(other),
                Place::Name(_) => Err(Flaw::Leaked(format!("{target:?}, whose user is gone"))),
            }
        }
    }
}
