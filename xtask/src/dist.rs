//! What users install: the C library below a prefix, and the zip for Windows.

use crate::{
    machine,
    process::{Done, Stop, cargo, command, failed, run as run_program},
    repo,
    windows::{self, Windows},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// `cargo xtask dist`.
pub(crate) fn run(arguments: &[String]) -> Done {
    if let Some((first, rest)) = arguments.split_first()
        && first == "zip"
    {
        return match rest {
            [] => make_zip(&repo::target().join("mapvar-windows-x86_64.zip")),
            [file] => make_zip(Path::new(file)),
            _ => Err(Stop::Usage("dist zip: name one file".into())),
        };
    }
    let (mut prefix, mut folder) = ("/usr/local".to_owned(), String::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--prefix" => &mut prefix,
            "--dest" => &mut folder,
            _ => return Err(Stop::Usage(format!("dist: {word:?} is no option"))),
        };
        let value = words.next().ok_or_else(|| Stop::Usage(format!("{word} wants a folder")))?;
        place.clone_from(value);
    }
    install(&prefix, &folder)
}

/// Installs the shared and static library, the header and the pkg-config file. With `folder`,
/// everything goes below it, as packagers need it; the pkg-config file names the prefix alone.
fn install(prefix: &str, folder: &str) -> Done {
    if cfg!(windows) {
        return Err(Stop::Skipped(
            "`cargo xtask dist zip` on Linux makes the zip for Windows".into(),
        ));
    }
    run_program(cargo().args(["build", "--release", "-p", "mapvar-c"]).current_dir(repo::root()))?;
    let built = repo::target().join("release");
    let place = PathBuf::from(format!("{folder}{prefix}"));
    let (lib, include) = (place.join("lib"), place.join("include"));
    for folder in [&lib.join("pkgconfig"), &include] {
        fs::create_dir_all(folder).map_err(failed(folder.display()))?;
    }
    let private = if cfg!(target_os = "macos") {
        put(&built.join("libmapvar.dylib"), &lib.join("libmapvar.dylib"), 0o755)?;
        "-lSystem"
    } else {
        put(&built.join("libmapvar.so"), &lib.join("libmapvar.so.0"), 0o755)?;
        link("libmapvar.so.0", &lib.join("libmapvar.so"))?;
        "-lpthread -ldl -lm"
    };
    put(&built.join("libmapvar.a"), &lib.join("libmapvar.a"), 0o644)?;
    let capi = repo::root().join("crates/capi");
    put(&capi.join("include/mapvar.h"), &include.join("mapvar.h"), 0o644)?;
    let template = capi.join("mapvar.pc.in");
    let text = fs::read_to_string(&template)
        .map_err(failed(template.display()))?
        .replace("@PREFIX@", prefix)
        .replace("@VERSION@", &product_version()?)
        .replace("@PRIVATE@", private);
    let file = lib.join("pkgconfig/mapvar.pc");
    fs::write(&file, text).map_err(failed(file.display()))
}

fn product_version() -> Done<String> {
    let manifest = repo::root().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(failed(manifest.display()))?;
    let version =
        text.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    Ok(version.ok_or_else(|| Stop::Failed("Cargo.toml has no version".into()))?.to_owned())
}

/// Copies a file. It removes the old file instead of overwriting it, because a program may have
/// that mapped.
fn put(from: &Path, to: &Path, mode: u32) -> Done {
    let _ = fs::remove_file(to);
    fs::copy(from, to).map_err(failed(to.display()))?;
    #[cfg(unix)]
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(mode))
        .map_err(failed(to.display()))?;
    #[cfg(not(unix))]
    let _ = mode;
    Ok(())
}

fn link(name: &str, at: &Path) -> Done {
    let _ = fs::remove_file(at);
    #[cfg(unix)]
    std::os::unix::fs::symlink(name, at).map_err(failed(at.display()))?;
    // Creating a link needs a privilege on Windows.
    #[cfg(not(unix))]
    fs::copy(at.with_file_name(name), at).map_err(failed(at.display()))?;
    Ok(())
}

// --- The zip for Windows -------------------------------------------------------------------------

/// The DLLs that Windows provides. Any other DLL would have to be installed by the user.
const OF_WINDOWS: [&str; 13] = [
    "kernel32.dll",
    "ntdll.dll",
    "advapi32.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "user32.dll",
    "userenv.dll",
    "shell32.dll",
    "ole32.dll",
    "ws2_32.dll",
    "secur32.dll",
    "msvcrt.dll",
    "ucrtbase.dll",
];

fn is_of_windows(dll: &str) -> bool {
    OF_WINDOWS.contains(&dll) || dll.starts_with("api-ms-win-")
}

fn make_zip(file: &Path) -> Done {
    const NAME: &str = "mapvar-windows-x86_64";
    let file = std::path::absolute(file).map_err(failed(file.display()))?;
    let windows = Windows::set_up(&windows::prefix())?;
    machine::need("zip", &["zip"])?;
    let mut cargo = windows.cargo(repo::target());
    cargo.args(["build", "--release", "-p", "mapvar-cli", "-p", "mapvar-c"]);
    run_program(cargo.current_dir(repo::root()))?;
    let built = windows.built(repo::target(), "release");
    let parent = repo::target().join("zip");
    let folder = parent.join(NAME);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(failed(folder.display()))?;
    let root = repo::root();
    for from in [
        built.join("mapvar.exe"),
        built.join("mapvar.dll"),
        built.join("libmapvar.dll.a"),
        root.join("crates/capi/include/mapvar.h"),
        root.join("LICENSE-MIT"),
        root.join("LICENSE-APACHE"),
    ] {
        let name = from.file_name().unwrap_or_default();
        fs::copy(&from, folder.join(name)).map_err(failed(from.display()))?;
    }
    for binary in ["mapvar.exe", "mapvar.dll"] {
        let needed = Windows::needed_dlls(&folder.join(binary))?;
        println!("{binary} needs {}", needed.join(" "));
        if needed.is_empty() {
            return Err(Stop::Failed(format!("{binary}: objdump names no DLL at all")));
        }
        if let Some(foreign) = needed.iter().find(|dll| !is_of_windows(dll)) {
            return Err(Stop::Failed(format!("{binary} needs {foreign}, which Windows lacks")));
        }
    }
    let _ = fs::remove_file(&file);
    let mut zip = command("zip");
    run_program(zip.args(["-q", "-X", "-r"]).arg(&file).arg(NAME).current_dir(&parent))?;
    println!("made {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dll_of_mingw_is_foreign() {
        assert!(is_of_windows("kernel32.dll"));
        assert!(is_of_windows("api-ms-win-core-synch-l1-2-0.dll"));
        assert!(!is_of_windows("libgcc_s_seh-1.dll"));
    }
}
