//! File systems that are mounted twice and mounted anew, in a mount namespace of this run's own.
//! The namespace ends with the run's last process, and with it all mounts.

#![allow(unsafe_code, reason = "a namespace of its own")]

use mapvar_harness::Folder;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// A file system whose next mount has another device number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An overlay over folders in memory. It has no number of its own, and each mount gets the first
    /// one that is free.
    Overlay,
    /// ext4 on a loop device, whose number is that of the device.
    Disk,
}

pub(crate) struct Mounts {
    folder: Folder,
    mounted: Option<Kind>,
}

const SIZE: u64 = 1 << 30;

impl Mounts {
    /// Gives this process its own mounts. Call it while the process has one thread.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointer.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(io::Error::last_os_error());
        }
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let folder = Folder::quick("kill-mounts")?;
        for name in ["base", "used", "second", "between"] {
            fs::create_dir(folder.join(name))?;
        }
        // An overlay of an overlay (a container's root) is not always possible.
        mount("none", folder.join("base"), "tmpfs", MountFlags::empty(), Some(c"mode=700"))?;
        Ok(Self { folder, mounted: None })
    }

    /// The two folders that show the file system.
    pub(crate) fn places(&self) -> [PathBuf; 2] {
        [self.folder.join("used"), self.folder.join("second")]
    }

    pub(crate) fn is_mounted(&self) -> bool {
        self.mounted.is_some()
    }

    fn base(&self, name: &str) -> PathBuf {
        self.folder.join("base").join(name)
    }

    /// Mounts a new file system of that kind at both places.
    pub(crate) fn begin(&mut self, kind: Kind) -> io::Result<()> {
        if kind == Kind::Disk {
            for image in ["used", "between"] {
                let image = self.base(image).with_extension("image");
                fs::File::create(&image)?.set_len(SIZE)?;
                run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))?;
            }
        }
        self.mount("used", kind)?;
        self.mounted = Some(kind);
        self.bind()
    }

    fn mount(&self, name: &str, kind: Kind) -> io::Result<()> {
        let at = self.folder.join(name);
        if kind == Kind::Disk {
            let image = self.base(name).with_extension("image");
            return run(Command::new("mount")
                .args(["-t", "ext4", "-o", "loop"])
                .arg(image)
                .arg(at));
        }
        let [lower, upper, work] =
            ["lower", "upper", "work"].map(|layer| self.base(&format!("{name}.{layer}")));
        for layer in [&lower, &upper, &work] {
            fs::create_dir_all(layer)?;
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let layers = CString::new(layers).map_err(io::Error::other)?;
        Ok(mount("none", &at, "overlay", MountFlags::empty(), Some(layers.as_c_str()))?)
    }

    fn bind(&self) -> io::Result<()> {
        let [used, second] = self.places();
        Ok(mount_bind(used, second)?)
    }

    /// Mounts the file system anew. If it gets the device number that it had, another file system
    /// takes that number meanwhile. Returns whether the number is another one.
    pub(crate) fn again(&mut self) -> io::Result<bool> {
        let Some(kind) = self.mounted else { return Ok(false) };
        let [used, second] = self.places();
        let before = fs::metadata(&used)?.dev();
        release(&second)?;
        release(&used)?;
        self.mounted = None;
        self.mount("used", kind)?;
        if fs::metadata(&used)?.dev() == before {
            release(&used)?;
            self.mount("between", kind)?;
            self.mount("used", kind)?;
            release(&self.folder.join("between"))?;
        }
        self.mounted = Some(kind);
        self.bind()?;
        Ok(fs::metadata(&used)?.dev() != before)
    }

    /// Removes the file system, if there is one. It must not be in use any more.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        let Some(_) = self.mounted.take() else { return Ok(()) };
        let [used, second] = self.places();
        release(&second)?;
        release(&used)?;
        for entry in fs::read_dir(self.folder.join("base"))?.flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        Ok(())
    }

    /// Removes all, used or not.
    pub(crate) fn clean(&self) {
        for name in ["second", "used", "between", "base"] {
            let _ = unmount(self.folder.join(name), UnmountFlags::DETACH);
        }
        self.folder.remove();
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Unmounts. What keeps the file system busy is a process that is about to end, or a fault.
fn release(at: &Path) -> io::Result<()> {
    for _ in 0..500 {
        match unmount(at, UnmountFlags::empty()) {
            Err(rustix::io::Errno::BUSY) => thread::sleep(Duration::from_millis(10)),
            done => return Ok(done?),
        }
    }
    Err(io::Error::other(format!("{} stays in use", at.display())))
}

fn run(command: &mut Command) -> io::Result<()> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {status}"))) }
}
