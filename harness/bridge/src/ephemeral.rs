//! Ephemeral variables on another machine: they end with their process, and with their bridge.

use crate::{
    children::Running,
    server::{BUCKET, Server},
};
use mapvar::{Map, Value};
use mapvar_harness::{Folder, unique, watchdog};
use std::{
    fs::File,
    io,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(40);
/// The variables of the owner, as the reader has them.
const ENDS: &str = "a.x.ends";
const STAYS: &str = "a.x.stays";

/// Runs with this server.
pub fn run(program: &Path, server: &Path) -> Result<(), String> {
    watchdog::doing("ephemeral");
    play(program, server).map_err(|error| format!("ephemeral: {error}"))
}

fn play(program: &Path, server: &Path) -> io::Result<()> {
    let folder = Folder::new("ephemeral")?;
    let mut server = Server::start(server, folder.path())?;
    let address = server.address;
    let begin = |map: &str, node: &str, flags: [&str; 2]| {
        let log = File::options().append(true).create(true).open(folder.join(node))?;
        let mut command = Command::new(program);
        command.args(["run", map, "--server", &format!("nats://{address}")]);
        command.args(["--bucket", BUCKET, "--node", node]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Running::start(&mut command)
    };
    let names = ["owner", "reader"].map(|what| unique(&format!("ephemeral-{what}")));
    let [owner, reader] = names.each_ref().map(|name| Map::options().name(name).create());
    let (owner, reader) = (other(owner)?, other(reader)?);
    let [owner_name, reader_name] = &names;
    let owning = begin(owner_name, "a", ["--out", "x."])?;
    let _reading = begin(reader_name, "b", ["--in", "a."])?;

    // By a handle of its own, which stands for a process.
    let process = other(Map::open(owner_name))?;
    other(process.set_ephemeral("x.ends", 1))?;
    other(owner.set("x.stays", 1))?;
    becomes(&reader, ENDS, Some(1), "an ephemeral variable")?;
    becomes(&reader, STAYS, Some(1), "a lasting one")?;
    if other(reader.owner(ENDS))?.is_none() || other(reader.owner(STAYS))?.is_some() {
        return Err(io::Error::other("which of them ends is mistaken"));
    }

    drop(owning);
    becomes(&reader, ENDS, None, "the owner's bridge was killed")?;
    becomes(&reader, STAYS, Some(1), "a lasting variable of a killed bridge")?;
    let _owning = begin(owner_name, "a", ["--out", "x."])?;
    becomes(&reader, ENDS, Some(1), "the owner's bridge was started again")?;

    server.kill();
    becomes(&reader, ENDS, None, "the server was killed")?;
    becomes(&reader, STAYS, Some(1), "a lasting variable without a server")?;
    server.run()?;
    becomes(&reader, ENDS, Some(1), "the server was started again")?;

    drop(process);
    becomes(&reader, ENDS, None, "the variable's process ended")?;
    // The same value, which now stays.
    other(owner.set("x.ends", 1))?;
    becomes(&reader, ENDS, Some(1), "a lasting variable in its place")?;
    if other(reader.owner(ENDS))?.is_some() {
        return Err(io::Error::other("a lasting variable is ephemeral at the reader"));
    }
    println!("ephemeral: variables end with their process, their bridge, and the link");
    Ok(())
}

fn other<T>(done: mapvar::Result<T>) -> io::Result<T> {
    done.map_err(io::Error::other)
}

fn becomes(map: &Map, name: &str, value: Option<i64>, after: &str) -> io::Result<()> {
    let began = Instant::now();
    let wanted = value.map(Value::from);
    loop {
        watchdog::step();
        let found = other(map.find::<Value>(name))?;
        if found == wanted {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            let text = format!("LOST: {after}: {name} is {found:?} and not {wanted:?}");
            return Err(io::Error::other(text));
        }
        thread::sleep(Duration::from_millis(10));
    }
}
