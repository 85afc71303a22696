//! One machine of the run: a map, its writer, its bridge, and the proxy between bridge and server.

use crate::{children::Running, proxy::Proxy, server::BUCKET};
use mapvar::{Map, Value};
use mapvar_harness::{Random, unique};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The nodes, each of which owns the prefix `x.` of its map.
pub const NODES: [&str; 3] = ["a", "b", "c"];
/// Variables of each node.
const VARIABLES: u64 = 12;

#[derive(Debug)]
pub struct Rig {
    /// Ended before the map is closed: a map whose last user is killed stays in memory.
    bridge: Option<Running>,
    pub node: &'static str,
    pub map: Map,
    name: String,
    pub proxy: Proxy,
    program: PathBuf,
    log: PathBuf,
    /// The last number that was set, of all variables of this node.
    pub last: u64,
    /// The highest number seen of each variable of the others.
    seen: BTreeMap<String, u64>,
}

impl Rig {
    pub fn new(
        node: &'static str,
        program: &Path,
        server: SocketAddr,
        folder: &Path,
    ) -> io::Result<Self> {
        let name = unique(&format!("bridge-{node}"));
        let map = Map::options().name(&name).create().map_err(io::Error::other)?;
        let mut rig = Self {
            node,
            map,
            name,
            proxy: Proxy::start(server)?,
            program: program.into(),
            log: folder.join(format!("bridge-{node}.log")),
            bridge: None,
            last: 0,
            seen: BTreeMap::new(),
        };
        rig.start()?;
        Ok(rig)
    }

    /// Starts the bridge.
    pub fn start(&mut self) -> io::Result<()> {
        let log = File::options().append(true).create(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(["run", &self.name, "--server", &format!("nats://{}", self.proxy.address)]);
        command.args(["--bucket", BUCKET, "--node", self.node, "--out", "x.", "--max-rate", "0"]);
        for other in NODES.into_iter().filter(|other| *other != self.node) {
            command.args(["--in", &format!("{other}.")]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.bridge = Some(Running::start(&mut command)?);
        Ok(())
    }

    /// Kills the bridge.
    pub fn kill(&mut self) {
        self.bridge = None;
    }

    pub fn has_ended(&self) -> bool {
        self.bridge.as_ref().is_some_and(Running::has_ended)
    }

    /// Returns the resident memory of the bridge, in KiB.
    pub fn memory(&self) -> u64 {
        self.bridge.as_ref().and_then(Running::memory).unwrap_or(0)
    }

    /// Changes one variable, or removes it.
    pub fn write(&mut self, random: &mut Random) -> mapvar::Result<()> {
        let name = format!("x.v/{}", random.below(VARIABLES));
        if random.one_in(20) {
            return self.map.remove(&name).map(drop);
        }
        self.last += 1;
        let number = Value::from(self.last);
        if random.one_in(4) {
            let padding = Value::Bytes(vec![7; random.below(3000) as usize]);
            let pairs = vec![("n".into(), number), ("bytes".into(), padding)];
            self.map.set(&name, Value::Dict(pairs))
        } else {
            self.map.set(&name, number)
        }
    }

    /// Reads what the map has of another node, and checks it. `last` is the last number that the
    /// other node has set, read after this map.
    pub fn check(&mut self, other: &str, last: impl Fn() -> u64) -> Result<(), String> {
        for entry in self.map.iter().prefix(&format!("{other}.")) {
            let entry = entry.map_err(|error| error.to_string())?;
            let value: Value = entry.get().map_err(|error| error.to_string())?;
            let name = entry.name().to_owned();
            let number = number_of(&value).ok_or_else(|| format!("{name} = {value}"))?;
            if number > last() {
                return Err(format!("{name} = {number} in {}, which nobody set", self.node));
            }
            let seen = self.seen.entry(name.clone()).or_default();
            if number < *seen {
                return Err(format!("{name} steps back in {} from {seen} to {number}", self.node));
            }
            *seen = number;
        }
        Ok(())
    }

    /// Returns all variables with this prefix, without it.
    pub fn content(&self, prefix: &str) -> mapvar::Result<BTreeMap<String, Value>> {
        let entries = self.map.iter().prefix(prefix);
        entries
            .map(|entry| {
                let entry = entry?;
                let name = entry.name().strip_prefix(prefix).unwrap_or_default().to_owned();
                Ok((name, entry.get()?))
            })
            .collect()
    }
}

fn number_of(value: &Value) -> Option<u64> {
    match value {
        Value::I64(number) => u64::try_from(*number).ok(),
        Value::Dict(pairs) => pairs.iter().find_map(|(_, value)| match value {
            Value::I64(number) => u64::try_from(*number).ok(),
            _ => None,
        }),
        _ => None,
    }
}
