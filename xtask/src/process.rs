//! Starts programs and waits for them: with a limit, with a log, and until an interrupt.

use crate::repo;
use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The exit code that test suites use for "skipped".
pub(crate) const SKIPPED: u8 = 77;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// This machine lacks something.
    Skipped(String),
    Failed(String),
    Usage(String),
    Interrupted,
}

pub(crate) type Done<T = ()> = Result<T, Stop>;

impl Stop {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Skipped(_) => SKIPPED,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(what) => write!(f, "SKIPPED: {what}"),
            Self::Failed(what) => write!(f, "FAILED: {what}"),
            Self::Usage(what) => write!(f, "{what}"),
            Self::Interrupted => write!(f, "interrupted"),
        }
    }
}

/// Returns a function that turns an error into a failure of `what`.
pub(crate) fn failed<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Stop {
    move |error| Stop::Failed(format!("{what}: {error}"))
}

/// Returns the result of two legs that both ran: a failure outweighs a skip, and a skip a success.
pub(crate) fn worse(one: Done, other: Done) -> Done {
    match (one, other) {
        (Err(Stop::Skipped(one)), Err(Stop::Skipped(other))) => {
            Err(Stop::Skipped(format!("{one}; {other}")))
        }
        (Ok(()) | Err(Stop::Skipped(_)), Err(stop)) | (Err(stop), _) => Err(stop),
        (Ok(()), Ok(())) => Ok(()),
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Installs a handler: SIGINT, SIGTERM and the like end the programs that this one waits for, and
/// then this one.
pub(crate) fn watch_interrupts() -> Done {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .map_err(failed("the handler of Ctrl-C"))
}

/// Returns a command with the caller's environment, without the variables that `cargo run` adds.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, value) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let of_a_package = text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_");
        if of_a_package || ["CARGO", "CARGO_CRATE_NAME", "CARGO_BIN_NAME"].contains(&text) {
            command.env_remove(&name);
        } else if text == "LD_LIBRARY_PATH" || text == "DYLD_FALLBACK_LIBRARY_PATH" {
            // cargo puts its own folders before the caller's. A program that loaded a library from
            // there would not be tested as its user runs it.
            let built = |path: &PathBuf| {
                path.starts_with(repo::target())
                    || path.components().any(|part| part.as_os_str() == "rustlib")
            };
            let kept = std::env::split_paths(&value).filter(|path| !built(path));
            match std::env::join_paths(kept) {
                Ok(kept) if !kept.is_empty() => command.env(&name, kept),
                _ => command.env_remove(&name),
            };
        }
    }
    command
}

pub(crate) fn cargo() -> Command {
    command("cargo")
}

/// Runs a program to its end. Its exit code 77 becomes [`Stop::Skipped`].
pub(crate) fn run(command: &mut Command) -> Done {
    let name = name_of(command);
    let child = command.spawn().map_err(failed(&name))?;
    judge(&name, wait(child, None, Group::Callers)?, None)
}

/// Runs a program like [`run`]; after `limit` it is ended with all processes that it started.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Done {
    let name = name_of(command);
    let child = spawn_apart(command).map_err(failed(&name))?;
    judge(&name, wait(child, Some(limit), Group::Own)?, Some(limit))
}

/// Runs a program; returns its standard output.
pub(crate) fn read_output(command: &mut Command) -> Done<String> {
    let name = name_of(command);
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(Child::wait_with_output)
        .map_err(failed(&name))?;
    judge(&name, End::Exited(output.status), None)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns whether a program succeeds; discards its output.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a program, and copies its output to a file.
pub(crate) fn run_logged(command: &mut Command, limit: Duration, log: &Path) -> Done<End> {
    let name = name_of(command);
    let mut file = File::create(log).map_err(failed(log.display()))?;
    // One pipe for both streams keeps their order.
    let (mut reader, writer) = std::io::pipe().map_err(failed("a pipe"))?;
    let second = writer.try_clone().map_err(failed("a pipe"))?;
    command.stdin(Stdio::null()).stdout(writer).stderr(second);
    let child = spawn_apart(command).map_err(failed(&name));
    // The command still has both write ends; the reader would never see the end of the pipe.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = child?;
    let copier = thread::spawn(move || -> std::io::Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let count = reader.read(&mut buffer)?;
            let Some(bytes @ [_, ..]) = buffer.get(..count) else { return Ok(()) };
            file.write_all(bytes)?;
            std::io::stdout().write_all(bytes)?;
            std::io::stdout().flush()?;
        }
    });
    let end = wait(child, Some(limit), Group::Own)?;
    // A daemon that the program left behind may hold the pipe open for long.
    let asked = Instant::now();
    while !copier.is_finished() && asked.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(10));
    }
    if copier.is_finished() {
        copier
            .join()
            .map_err(|_| Stop::Failed(format!("{name}: the copier of its output panicked")))?
            .map_err(failed(log.display()))?;
    }
    Ok(end)
}

/// How a program ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Exited(ExitStatus),
    /// The watchdog ended it.
    OutOfTime,
}

/// The processes that [`wait`] ends with its child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// The child alone: a terminal sends its signals to the whole group of the caller.
    Callers,
    Own,
}

fn spawn_apart(command: &mut Command) -> std::io::Result<Child> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command.spawn()
}

fn wait(mut child: Child, limit: Option<Duration>, group: Group) -> Done<End> {
    const GRACE: Duration = Duration::from_secs(20);
    let began = Instant::now();
    let mut asked: Option<Instant> = None;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(failed("waiting for a program"))? {
            if INTERRUPTED.load(Ordering::Relaxed) {
                return Err(Stop::Interrupted);
            }
            return Ok(if asked.is_some() { End::OutOfTime } else { End::Exited(status) });
        }
        let late = limit.is_some_and(|limit| began.elapsed() > limit);
        match asked {
            None if late || INTERRUPTED.load(Ordering::Relaxed) => {
                send(&child, group, "TERM");
                asked = Some(Instant::now());
            }
            Some(asked) if asked.elapsed() > GRACE => {
                send(&child, group, "KILL");
                // This works also where the tool for signals is missing.
                let _ = child.kill();
            }
            _ => {}
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Sends a signal by the system's own tool, which needs no `unsafe` and exists on every system.
fn send(child: &Child, group: Group, signal: &str) {
    let id = child.id();
    let mut tool = if cfg!(windows) {
        // Windows ends a tree of processes at once.
        let mut tool = Command::new("taskkill");
        tool.args(["/T", "/F", "/PID", &id.to_string()]);
        tool
    } else {
        let target = if group == Group::Own { format!("-{id}") } else { id.to_string() };
        let mut tool = Command::new("sh");
        tool.args(["-c", "kill -s \"$1\" -- \"$2\"", "sh", signal, &target]);
        tool
    };
    succeeds(&mut tool);
}

fn judge(name: &str, end: End, limit: Option<Duration>) -> Done {
    match end {
        End::OutOfTime => Err(Stop::Failed(format!(
            "{name} was ended after {} s",
            limit.unwrap_or_default().as_secs()
        ))),
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) if status.code() == Some(SKIPPED.into()) => {
            Err(Stop::Skipped(format!("{name} cannot run here")))
        }
        End::Exited(status) => Err(Stop::Failed(format!("{name}: {status}"))),
    }
}

fn name_of(command: &Command) -> String {
    let mut name = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args().take(4) {
        name.push(' ');
        name.push_str(&argument.to_string_lossy());
    }
    name
}

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn below(base: &Path) -> Done<Self> {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let folder = base.join(format!("mapvar-xtask-{}-{since}", std::process::id()));
        std::fs::create_dir(&folder).map_err(failed(folder.display()))?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_a_skip() {
        let skip = || Err(Stop::Skipped("wine".into()));
        let fail = || Err(Stop::Failed("loom".into()));
        assert!(worse(Ok(()), Ok(())).is_ok());
        assert!(matches!(worse(fail(), skip()), Err(Stop::Failed(_))));
        assert!(matches!(worse(skip(), fail()), Err(Stop::Failed(_))));
        assert!(matches!(worse(Ok(()), skip()), Err(Stop::Skipped(_))));
        assert!(matches!(worse(skip(), Ok(())), Err(Stop::Skipped(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_takes_too_long_is_ended_with_its_children() {
        let folder = Scratch::below(&std::env::temp_dir()).unwrap();
        let mark = folder.path().join("mark");
        let script = format!("(sleep 3600; touch {0}) & echo $! >{0}.pid; wait", mark.display());
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        let log = folder.path().join("log");
        let end = run_logged(&mut shell, Duration::from_millis(500), &log).unwrap();
        assert!(matches!(end, End::OutOfTime));
        let child = std::fs::read_to_string(mark.with_extension("pid")).unwrap();
        let is_there =
            || succeeds(Command::new("sh").args(["-c", &format!("kill -0 {}", child.trim())]));
        // The child's new parent may take a moment to reap it.
        for _ in 0..200 {
            if !is_there() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the child outlived its group");
    }
}
