//! `mapvar demo`: two processes exchange variables, by a name and through a file.

use crate::{
    args::DemoPeer,
    exit::{self, Exit, Failure},
    show::Out,
};
use mapvar::{Error, ErrorKind, Map, Value};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{self, Child},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// After this time the demonstration fails, so that it cannot hang.
const DEADLINE: Duration = Duration::from_secs(20);

/// Runs the process that the user started.
pub(crate) fn first() -> Result<Exit, Failure> {
    let pid = process::id();
    let name = format!("mapvar-demo.{pid}");
    let folder = Folder::new()?;
    let path = folder.0.join("demo.map");
    let _watchdog = Watchdog::new(Some(folder.0.clone()));

    line(&format!("By the name {name:?}:"))?;
    let map = Map::options().name(&name).size(2000).create()?;
    offer(&map, pid)?;
    let mut peer = Peer::new(&name, &path)?;
    accept(&map, pid, &mut peer)?;

    line(&format!("Through the file {:?}:", path.display()))?;
    let in_file = Map::options().file(&path).size(1024).open_or_create()?;
    offer(&in_file, pid)?;
    map.set("file", true)?;
    accept(&in_file, pid, &mut peer)?;

    peer.end()?;
    in_file.close()?;
    map.close()?;
    line(&format!("Processes {pid} and {} shared their variables both ways.", peer.0.id()))?;
    Ok(Exit::Done)
}

/// Runs the process that [`first`] starts.
pub(crate) fn second(args: &DemoPeer) -> Result<Exit, Failure> {
    let pid = process::id();
    let _watchdog = Watchdog::new(None);
    let map = Map::open(&args.name)?;
    reply(&map, pid)?;
    await_var(&map, "file", || Ok(()))?;
    reply(&Map::options().file(&args.file).open()?, pid)?;
    Ok(Exit::Done)
}

fn offer(map: &Map, pid: u32) -> Result<(), Failure> {
    map.set("foo", "hello")?;
    map.set("bar", 77)?;
    line(&format!("  process {pid} set  foo = hello, bar = 77"))
}

fn reply(map: &Map, pid: u32) -> Result<(), Failure> {
    let foo: String = map.get("foo")?;
    let bar: i64 = map.get("bar")?;
    line(&format!("  process {pid} read foo = {foo}, bar = {bar}"))?;
    let twice = bar.wrapping_mul(2);
    line(&format!("  process {pid} set  twice = {twice}"))?;
    map.set("twice", twice)?;
    Ok(())
}

fn accept(map: &Map, pid: u32, peer: &mut Peer) -> Result<(), Failure> {
    let twice = await_var(map, "twice", || peer.lives())?;
    line(&format!("  process {pid} read twice = {twice}"))?;
    if twice == Value::I64(154) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, "demo", "")
        .detail(format!("the other process replied {twice}, not 154"))
        .into())
}

/// Polls until the other process has set the variable.
fn await_var(
    map: &Map,
    var: &str,
    mut meanwhile: impl FnMut() -> Result<(), Failure>,
) -> Result<Value, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if let Some(value) = map.find(var)? {
            return Ok(value);
        }
        meanwhile()?;
        thread::sleep(Duration::from_millis(1));
    }
    Err(late().into())
}

fn late() -> Error {
    Error::new(ErrorKind::TimedOut, "demo", "")
        .detail(format!("the other process did not reply within {} s", DEADLINE.as_secs()))
}

/// Prints a line and flushes it: the two processes print in turns.
fn line(text: &str) -> Result<(), Failure> {
    let mut out = Out::new();
    out.line(text)?;
    Ok(out.flush()?)
}

/// The second process, killed on drop.
struct Peer(Child);

impl Peer {
    fn new(name: &str, path: &Path) -> Result<Self, Failure> {
        let start = || {
            let program = std::env::current_exe()?;
            process::Command::new(program).arg("demo-peer").arg(name).arg(path).spawn()
        };
        let error = |cause| Error::new(ErrorKind::Io, "start", "a second process").because(cause);
        Ok(Self(start().map_err(error)?))
    }

    fn lives(&mut self) -> Result<(), Failure> {
        match self.0.try_wait() {
            Ok(None) => Ok(()),
            // The second process has printed the reason.
            ended => Err(Error::new(ErrorKind::Io, "demo", "")
                .detail(format!("the second process ended before its time: {ended:?}"))
                .into()),
        }
    }

    /// Waits until the process ends by itself.
    fn end(&mut self) -> Result<(), Failure> {
        match self.0.wait() {
            Ok(status) if status.success() => Ok(()),
            other => Err(Error::new(ErrorKind::Io, "demo", "")
                .detail(format!("the second process failed: {other:?}"))
                .into()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends this process if it hangs. Each of the two processes has a watchdog of its own.
struct Watchdog(#[expect(dead_code, reason = "dropping it ends the thread")] mpsc::Sender<()>);

impl Watchdog {
    fn new(folder: Option<PathBuf>) -> Self {
        let (alive, done) = mpsc::channel();
        thread::spawn(move || {
            if done.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let Some(folder) = folder {
                    let _ = fs::remove_dir_all(folder);
                }
                process::exit(exit::report(&late()).code().into());
            }
        });
        Self(alive)
    }
}

/// A new folder for temporary files, removed with its content on drop.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        let error = |path: &Path, cause| {
            Error::new(ErrorKind::Io, "make folder", format!("{:?}", path.display())).because(cause)
        };
        for number in 0..100 {
            let path = parent.join(format!("mapvar-demo.{}.{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(error(&path, cause).into()),
            }
        }
        Err(error(&parent, io::ErrorKind::AlreadyExists.into()).into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
