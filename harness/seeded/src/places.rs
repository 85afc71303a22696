//! The locations of a run's folders and names. They are separate from those of other programs, and
//! are removed when the run has ended in any way.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// The folder of the names of sections: a killed run leaves some.
const MEMORY: &str = "/dev/shm";

/// Mounts a private `/dev/shm`, then runs the program. The mount goes with the last process that
/// sees it.
const AS_ROOT: &str = r#"mount -t tmpfs -o mode=1777 none /dev/shm && exec "$@""#;
/// The same for a user other than root; the program runs as that user.
const AS_USER: &str = r#"mount -t tmpfs -o mode=1777 none /dev/shm && user=$1 group=$2 && shift 2 &&
exec unshare -U --map-user="$user" --map-group="$group" -- "$@""#;

/// All files of this program's runs, until [`Places::remove`].
#[derive(Debug)]
pub struct Places {
    folder: PathBuf,
    next: AtomicUsize,
    /// The command that gives a program a `/dev/shm` of its own; empty if that is not possible.
    apart: Vec<String>,
    /// Wine's folder.
    prefix: PathBuf,
    /// The earlier content of its temporary folders: a Windows program cannot be given others.
    before: BTreeSet<PathBuf>,
}

impl Places {
    pub fn new() -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("mapvar-seeded.{}", std::process::id()));
        fs::create_dir(&folder)?;
        // Harnesses become other users, which need access.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let apart = apart();
        if apart.is_empty() && Path::new(MEMORY).is_dir() {
            println!(
                "this user may not mount (unshare -m, unshare -Urm): what a run that is killed leaves in \
                 {MEMORY} stays there"
            );
        }
        let prefix = wine_prefix();
        let before = in_wine(&prefix);
        Ok(Self { folder, next: AtomicUsize::new(0), apart, prefix, before })
    }

    /// Creates a temporary folder for one run.
    pub fn temporary(&self) -> io::Result<Temporary> {
        let folder = self.folder.join(self.next.fetch_add(1, Relaxed).to_string());
        fs::create_dir(&folder)?;
        // The permissions of the system's own.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777))?;
        Ok(Temporary(folder))
    }

    /// Returns a command that runs the program with a private `/dev/shm`.
    pub fn program(&self, program: &Path) -> Command {
        match self.apart.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        }
    }

    /// Removes all remains. A process that was just ended may write a moment longer.
    pub fn remove(&self) {
        for path in in_wine(&self.prefix).difference(&self.before) {
            let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
        }
        for _ in 0..40 {
            let _ = fs::remove_dir_all(&self.folder);
            if !self.folder.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        eprintln!("seeded: {} cannot be removed", self.folder.display());
    }
}

/// One run's folder, removed on drop.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the content of the temporary folders of all users of a Wine prefix.
fn in_wine(prefix: &Path) -> BTreeSet<PathBuf> {
    let Ok(users) = fs::read_dir(prefix.join("drive_c/users")) else { return BTreeSet::new() };
    let folders = users
        .flatten()
        .flat_map(|user| ["Temp", "AppData/Local/Temp"].map(|temp| user.path().join(temp)));
    folders
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .map(|it| it.path())
        .collect()
}

/// Returns Wine's folder, the same as that of `cargo xtask windows`.
pub fn wine_prefix() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/wine");
    std::env::var_os("WINEPREFIX").map_or_else(own, PathBuf::from)
}

fn apart() -> Vec<String> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let how = if user.is_root() {
        words(&["unshare", "-m", "sh", "-c", AS_ROOT, "sh"])
    } else {
        let (user, group) = (user.as_raw().to_string(), group.as_raw().to_string());
        words(&["unshare", "-Urm", "sh", "-c", AS_USER, "sh", &user, &group])
    };
    let Some((first, rest)) = how.split_first() else { return Vec::new() };
    let mut command = Command::new(first);
    command.args(rest).arg("true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) { how } else { Vec::new() }
}
