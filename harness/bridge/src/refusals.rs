//! What a bridge must not do: write without the right to, and write below a prefix of another owner.

use crate::{
    children::Running,
    server::{BUCKET, Server},
};
use mapvar::{Map, Value};
use mapvar_harness::{Folder, unique, watchdog};
use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a number must stay.
const STAYS: Duration = Duration::from_millis(700);
/// The prefix that is fought for, as flags of its owner and of its reader.
const OUT: [&str; 2] = ["--out", "x."];
const IN: [&str; 2] = ["--in", "a."];

struct Scene<'a> {
    program: &'a Path,
    server: Server,
    folder: Folder,
}

/// A bridge and its map.
struct Actor {
    /// Ended before the map is closed: a map whose last user is killed stays in memory.
    _bridge: Running,
    map: Map,
    log: PathBuf,
}

/// Runs both parts with this server.
pub fn run(program: &Path, server: &Path) -> Result<(), String> {
    watchdog::doing("refusals");
    let failed = |error: io::Error| error.to_string();
    let folder = Folder::new("refusals").map_err(failed)?;
    let users = [("a", OUT), ("b", IN)].map(|(node, flags)| rights(program, node, flags));
    let users = users.into_iter().collect::<io::Result<Vec<_>>>().map_err(failed)?;
    let configuration = folder.join("nats.conf");
    fs::write(&configuration, format!("authorization {{ users = [\n{}] }}\n", users.concat()))
        .map_err(failed)?;
    let server = Server::start_with(server, folder.path(), &configuration).map_err(failed)?;
    let scene = Scene { program, server, folder };
    let owner = scene.enter("owner", "a", "a", OUT, 1)?;
    let reader = scene.enter("reader", "b", "b", IN, 0)?;
    reader.becomes(1, "an owner with the rights that `rights` prints")?;

    // Another map, with the same node and prefix.
    let second = scene.enter("second", "a", "a", OUT, 2)?;
    second.says("owned by another", "a second owner")?;
    reader.becomes(1, "a second owner beside a living one")?;
    drop(owner);
    reader.becomes(2, "a second owner after the first")?;
    drop(second);

    // The reader's user has no right to put.
    let intruder = scene.enter("intruder", "a", "b", OUT, 3)?;
    intruder.logs("Permissions Violation")?;
    reader.becomes(2, "an intruder")?;
    println!("refusals: a second owner waits its turn, and a bridge without rights writes nothing");
    Ok(())
}

/// Returns the user for the server's configuration, as the bridge prints it.
fn rights(program: &Path, node: &str, flags: [&str; 2]) -> io::Result<String> {
    let mut command = Command::new(program);
    command.args(["rights", "any", "--server", "nats://127.0.0.1", "--bucket", BUCKET]);
    let output = command.args(["--node", node]).args(flags).output()?;
    let mut text = String::from_utf8_lossy(&output.stdout).replace("\"...\"", "\"secret\"");
    let _ = writeln!(text);
    Ok(text)
}

impl Scene<'_> {
    /// Starts a bridge; an owner's map has this number.
    fn enter(
        &self,
        what: &str,
        node: &str,
        user: &str,
        flags: [&str; 2],
        number: i64,
    ) -> Result<Actor, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{what}: {error}");
        let name = unique(&format!("bridge-{what}"));
        let map = Map::options().name(&name).create().map_err(|error| failed(&error))?;
        if flags == OUT {
            map.set("x.n", number).map_err(|error| failed(&error))?;
        }
        let log = self.folder.join(format!("{what}.log"));
        let file = File::create(&log).map_err(|error| failed(&error))?;
        let mut command = Command::new(self.program);
        command.args(["run", &name, "--server", &format!("nats://{}", self.server.address)]);
        command.args(["--bucket", BUCKET, "--node", node, "--user", user]).args(flags);
        command.env("MAPVAR_BRIDGE_PASSWORD", "secret");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let bridge = Running::start(&mut command).map_err(|error| failed(&error))?;
        Ok(Actor { map, log, _bridge: bridge })
    }
}

impl Actor {
    /// Waits until the reader's map has this number, and nothing else for a while.
    fn becomes(&self, number: i64, what: &str) -> Result<(), String> {
        let read = || self.map.find::<i64>("a.x.n").map_err(|error| error.to_string());
        wait(what, || Ok(read()? == Some(number)))?;
        let began = Instant::now();
        while began.elapsed() < STAYS {
            if read()? != Some(number) {
                return Err(format!("{what}: the reader has {:?}", read()?));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until the link-state variable has this state.
    fn says(&self, state: &str, what: &str) -> Result<(), String> {
        wait(what, || {
            let found = self.map.find::<Value>("mapvar.bridge/a");
            let found = found.map_err(|error| error.to_string())?;
            Ok(found.is_some_and(|value| value.to_string().contains(state)))
        })
    }

    /// Waits until the log has this text.
    fn logs(&self, text: &str) -> Result<(), String> {
        wait(text, || {
            fs::read_to_string(&self.log)
                .map(|log| log.contains(text))
                .map_err(|error| error.to_string())
        })
    }
}

fn wait(what: &str, mut done: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let began = Instant::now();
    while !done()? {
        watchdog::step();
        if began.elapsed() > PATIENCE {
            return Err(format!("LOST: {what}: it did not happen"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
