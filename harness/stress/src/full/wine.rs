//! The Windows build on small disks, and with a small folder for Wine's page-file sections.

use super::{
    Options,
    cases::Style,
    children::{Program, run},
    linux::Small,
    report::Figure,
};
use mapvar_harness::Folder;
use rustix::mount::{MountFlags, mount_remount};
use std::{ffi::CString, path::Path, process::Command};

const PAGE: u64 = 4_096;
const MIB: u64 = 1 << 20;

/// Runs all of it in a private mount namespace: no other process sees the mounts, and they go with
/// the last process in it.
pub fn full(options: &Options) -> Figure {
    let mut figure = Figure::new("full disk under Wine");
    let program = Program(vec!["wine".into(), options.wine.clone().unwrap_or_default()]);
    // Wine's server keeps its sockets here, and the files behind page-file sections.
    let server = Path::new("/run/user");
    let own = server.join(rustix::process::getuid().as_raw().to_string());
    let small = Folder::new("full").expect("a folder");
    let small = small.path();
    let prepared = Small::new(server, 24 * MIB).and_then(|server| {
        std::fs::create_dir(&own).map_err(|error| error.to_string())?;
        Ok((server, Small::new(small, MIB)?))
    });
    let _mounts = match prepared {
        Ok(mounts) => mounts,
        Err(flaw) => {
            figure.note("set-up", Err(flaw));
            return figure;
        }
    };
    let path = format!("Z:{}", small.join("full.map").to_string_lossy().replace('/', "\\"));
    let sizes: Vec<u64> = (1..=64).filter(|pages| !options.short || pages % 32 == 31).collect();
    for (number, pages) in sizes.iter().enumerate() {
        let style = Style::ALL[number % Style::ALL.len()].name();
        let done =
            size(small, pages * PAGE).and_then(|()| run(&program, &["fill", style, &path], None));
        figure.note(&format!("{pages} pages"), done);
        let _ = std::fs::remove_file(small.join("full.map"));
    }
    // Several in a short run too: some runs of one map end in an error without a fault.
    for style in Style::ALL.iter().take(if options.short { 3 } else { 5 }) {
        let done = run(&program, &["fill-lossy", style.name(), "full"], None);
        if done.as_ref().is_err_and(|flaw| flaw.contains("no end to the room")) {
            println!(
                "page-file sections SKIPPED: this Wine keeps them elsewhere than in /run/user"
            );
            break;
        }
        figure.note("page-file sections in a folder of 24 MiB", done);
    }
    figure.sizes = sizes.len() + 1;
    // This stops only the server of this namespace; servers elsewhere are not visible from here.
    let _ = Command::new("wineserver").arg("-k").status();
    let _ = Command::new("wineserver").arg("-w").status();
    figure
}

fn size(at: &Path, bytes: u64) -> Result<(), String> {
    let size = CString::new(format!("size={bytes}")).expect("no zero in it");
    mount_remount(at, MountFlags::empty(), size.as_c_str())
        .map_err(|error| format!("{bytes} bytes: {error}"))
}
