//! Target (a) through the public interface: the damaged bytes in a real file, opened by the
//! library's own options, used by its public operations, checked and salvaged.

use crate::{
    bytes::Bytes,
    driver::{Case, Target},
    random::Random,
};
use mapvar::{ErrorKind, Map, Recover, Value};
use mapvar_harness::Folder;
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Damaged files, in a folder of this thread's own.
#[derive(Debug)]
pub struct Files {
    bytes: Bytes,
    folder: Folder,
}

/// Returns where files are created: in the folder that MAPVAR_FUZZ_FOLDER names, which the parent
/// process removes however this one ends; else in memory, where the system offers that.
pub fn base() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    match std::env::var_os("MAPVAR_FUZZ_FOLDER") {
        Some(folder) => folder.into(),
        None if shared.is_dir() => shared,
        None => std::env::temp_dir(),
    }
}

impl Default for Files {
    /// Returns the target with all the regions, and a folder in memory where the system offers
    /// that.
    fn default() -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let number = FOLDERS.fetch_add(1, Relaxed);
        let folder = Folder::within(&base(), &format!("fuzz-files-{number}"));
        Self { bytes: Bytes::default(), folder: folder.expect("a folder") }
    }
}

fn use_all(map: &Map, random: &mut Random) {
    for _ in 0..=random.below(12) {
        let name =
            String::from_utf8(mapvar_engine_sim::operations::name(random.below(12) as usize));
        let name = name.unwrap_or_default();
        match random.below(12) {
            0 => drop(map.get::<i64>(&name)),
            1 => drop(map.find::<String>(&name)),
            2 => drop(map.get::<Value>(&name)),
            3 => drop(map.set(&name, 5)),
            4 => drop(map.set(&name, "some text")),
            5 => drop(map.set(&name, vec![1_u8; 5_000])),
            6 => drop(map.remove(&name)),
            7 => {
                if let Ok(var) = map.var_or::<i64>(&name, 1) {
                    let _ = (var.get(), var.set(6), var.kind(), var.version());
                    let _ = (var.read_bytes(&mut [0; 16]), var.write_bytes(&[1, 2]));
                }
            }
            8 => {
                if let Ok(atomic) = map.atomic_or::<i64>(&name, 1) {
                    let _ = (atomic.load(), atomic.fetch_add(1), atomic.swap(2));
                }
            }
            9 => {
                for entry in map.iter().flatten() {
                    let _ = (entry.kind(), entry.get::<Value>(), entry.get::<Value>());
                }
            }
            10 => drop((map.count(), map.stat(), map.clear())),
            _ => drop(map.flush()),
        }
    }
}

impl Target for Files {
    fn run(&mut self, case: &Case) -> u64 {
        let mut random = Random::new(case.seed);
        let bytes = self.bytes.damaged(&mut random, case);
        let path = self.folder.join("damaged.map");
        std::fs::write(&path, &bytes).expect("a file");
        // Operations wait for forged locks until this timeout.
        let options =
            Map::options().file(&path).max_size(1 << 21).timeout(Duration::from_micros(300));
        if random.one_in(8) {
            case.record(|| "check".into());
            let _ = options.check();
        }
        if random.one_in(8) {
            case.record(|| "salvage".into());
            let name = format!("fuzz.{}.{:x}", std::process::id(), case.seed);
            if let Ok(into) = Map::options().name(&name).size(1_000).create() {
                let _ = options.salvage(&into);
            }
        }
        // A reader recovers a copy in its own memory, and a file of this boot is a copy for a writer.
        if random.one_in(8) {
            case.record(|| "open for reading".into());
            if let Ok(map) = options.clone().read_only(true).open() {
                use_all(&map, &mut random);
            }
        }
        let accepts = if random.one_in(8) { Recover::AfterRestart } else { Recover::AcceptLoss };
        case.record(|| "open".into());
        match options.recover(accepts).open() {
            Ok(map) => use_all(&map, &mut random),
            Err(error) => assert_ne!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
        let _ = std::fs::remove_file(&path);
        1
    }
}
