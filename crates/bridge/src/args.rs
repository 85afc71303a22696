//! The command line.

use crate::{
    config::{
        Config, Direction, MAX_BYTES, MAX_RATE, MAX_VARS, Mirror, Place, Server,
        broker::{self, Broker, Publishing, TOPICS},
        file, in_mapping, out_mapping,
    },
    failure::Failure,
};
use clap::{Args, Parser, Subcommand, ValueHint};
use std::{net::SocketAddr, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  mapvar-bridge run sim --server nats://hub --bucket sim --node rig-a --out engine. --in rig-b.
  mapvar-bridge run --config bridge.toml
  mapvar-bridge status sim
  mapvar-bridge mqtt sim --broker mqtt://hub --node rig-a --out engine.

Secrets are read from files, or from MAPVAR_BRIDGE_CREDS, MAPVAR_BRIDGE_NKEY,
MAPVAR_BRIDGE_PASSWORD and MAPVAR_BRIDGE_MQTT_PASSWORD, and never from arguments.

Exit codes: 0 done; 1 no bridge is live (status); 2 wrong usage; 11 and up an error of a map, as in
the command mapvar; 90 the server cannot be used.";

/// Mirrors variables of mapvar maps on other machines, through a NATS server with JetStream
#[derive(Parser, Debug)]
#[command(name = "mapvar-bridge", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log more; twice for all
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    /// Log warnings only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Mirrors until Ctrl-C or SIGTERM
    Run(Setup),
    /// Makes maps and bucket equal once, and ends
    Once(Once),
    /// Publishes variables to a broker of MQTT until Ctrl-C or SIGTERM; nothing comes back
    Mqtt(Mqtt),
    /// Connects, and reports server, owners and what `run` would change; changes nothing
    Check(Setup),
    /// Prints the state of the bridges of a map; needs no server
    Status(Status),
    /// Prints the users for nats.conf that may do only what this configuration needs
    Rights(Setup),
    /// Prints a unit for systemd
    Unit(Unit),
}

/// What a configuration file says instead.
const OTHERS: [&str; 18] = [
    "metrics",
    "map",
    "file",
    "global",
    "server",
    "bucket",
    "node",
    "out",
    "into",
    "max_rate",
    "max_vars",
    "creds_file",
    "nkey_file",
    "user",
    "password_file",
    "ca_file",
    "cert_file",
    "key_file",
];

/// The configuration: a file, or flags for one map.
#[derive(Args, Debug)]
pub(crate) struct Setup {
    /// The configuration in TOML; then no other option, but for --verbose and --quiet
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = OTHERS)]
    pub(crate) config: Option<PathBuf>,

    /// NAME of the map
    #[arg(value_name = "NAME")]
    map: Option<String>,

    /// Use the map in this file, instead of NAME
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with = "map")]
    file: Option<String>,

    /// NAME belongs to the whole machine
    #[arg(long, conflicts_with = "file")]
    global: bool,

    /// URL of the server, such as `nats://hub` or `tls://hub:4222`; may be given several times
    #[arg(long, value_name = "URL")]
    server: Vec<String>,

    /// The bucket; it is made if it is not there
    #[arg(long, default_value = "mapvar")]
    bucket: String,

    /// The name of this machine: the first part of all keys that it owns
    #[arg(long)]
    node: Option<String>,

    /// Mirror the variables with this prefix to the bucket; may be given several times
    #[arg(long, value_name = "PREFIX")]
    out: Vec<String>,

    /// Mirror the keys with this prefix into the map, under the same prefix or another
    #[arg(long = "in", value_name = "KEYS[=PREFIX]")]
    into: Vec<String>,

    /// The most puts of one variable in a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = MAX_RATE)]
    max_rate: u32,

    /// The most variables of each --in
    #[arg(long, value_name = "N", default_value_t = MAX_VARS)]
    max_vars: usize,

    /// Serve the figures as text for Prometheus at this address, which is one of this machine
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,

    /// File with the credentials (JWT and seed)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    creds_file: Option<PathBuf>,

    /// File with the seed of an NKey
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    nkey_file: Option<PathBuf>,

    /// User; the password is in --password-file
    #[arg(long)]
    user: Option<String>,

    /// File with the password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,

    /// File with the certificates that are trusted
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca_file: Option<PathBuf>,

    /// File with this client's certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    cert_file: Option<PathBuf>,

    /// File with the key of that certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key_file: Option<PathBuf>,
}

/// What is published by MQTT: a file, or flags for one map.
#[derive(Args, Debug)]
pub(crate) struct Mqtt {
    /// The configuration in TOML; then no other argument
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, exclusive = true)]
    config: Option<PathBuf>,

    /// NAME of the map
    #[arg(value_name = "NAME")]
    map: Option<String>,

    /// Use the map in this file, instead of NAME
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with = "map")]
    file: Option<String>,

    /// NAME belongs to the whole machine
    #[arg(long, conflicts_with = "file")]
    global: bool,

    /// URL of the broker, such as `mqtt://hub` or `mqtts://hub:8883`
    #[arg(long, value_name = "URL")]
    broker: Option<String>,

    /// The name of this machine: the level below --topics
    #[arg(long)]
    node: Option<String>,

    /// Publish the variables with this prefix; may be given several times
    #[arg(long, value_name = "PREFIX")]
    out: Vec<String>,

    /// The levels above the node
    #[arg(long, default_value = TOPICS)]
    topics: String,

    /// The most messages of one variable in a second; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = MAX_RATE)]
    max_rate: u32,

    /// User; the password is in --password-file
    #[arg(long)]
    user: Option<String>,

    /// File with the password
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,

    /// File with the certificates that are trusted, for mqtts://
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca_file: Option<PathBuf>,
}

/// One reconciliation.
#[derive(Args, Debug)]
pub(crate) struct Once {
    #[command(flatten)]
    pub(crate) setup: Setup,
}

/// The state of the bridges of one map.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// NAME of the map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    map: Option<String>,

    /// Use the map in this file, instead of NAME
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    file: Option<String>,

    /// NAME belongs to the whole machine
    #[arg(long, conflicts_with = "file")]
    global: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The unit of a configuration.
#[derive(Args, Debug)]
pub(crate) struct Unit {
    /// The configuration in TOML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: PathBuf,

    /// The user that runs the bridge; it must be the user of the map
    #[arg(long)]
    pub(crate) user: String,
}

impl Status {
    pub(crate) fn place(&self) -> Place {
        place(self.map.clone(), self.file.clone(), self.global)
    }
}

fn place(map: Option<String>, file: Option<String>, global: bool) -> Place {
    match (map, file) {
        (_, Some(name)) => Place { name, is_file: true, global: false },
        (name, None) => Place { name: name.unwrap_or_default(), is_file: false, global },
    }
}

impl Mqtt {
    /// Returns the configuration, of the file or the flags.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn read(self) -> Result<Publishing, Failure> {
        if let Some(path) = &self.config {
            return broker::read(path);
        }
        if self.map.is_none() && self.file.is_none() {
            return Err(Failure::usage("no map; say NAME, --file or --config"));
        }
        let node = self.node.ok_or_else(|| Failure::usage("no node; say --node"))?;
        let url = self.broker.ok_or_else(|| Failure::usage("no broker; say --broker"))?;
        let map = place(self.map, self.file, self.global);
        let mirror = |prefix: &String| {
            broker::mirror(&node, &self.topics, map.clone(), prefix, false, self.max_rate)
        };
        let mirrors = self.out.iter().map(mirror).collect::<Result<_, _>>()?;
        let broker = Broker::of(&url, self.user, self.password_file, self.ca_file)?;
        Publishing { node, broker, mirrors }.checked()
    }
}

impl Setup {
    /// Returns the configuration, of the file or the flags.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn read(self) -> Result<Config, Failure> {
        if let Some(path) = &self.config {
            return file::read(path);
        }
        if self.map.is_none() && self.file.is_none() {
            return Err(Failure::usage("no map; say NAME, --file or --config"));
        }
        let node = self.node.ok_or_else(|| Failure::usage("no node; say --node"))?;
        let map = place(self.map, self.file, self.global);
        let mut mirrors = Vec::new();
        for prefix in &self.out {
            mirrors.push(Mirror {
                map: map.clone(),
                mapping: out_mapping(&node, prefix, false),
                direction: Direction::Out { max_rate: self.max_rate },
            });
        }
        for prefix in &self.into {
            let (keys, names) = match prefix.split_once('=') {
                Some((keys, names)) => (keys, Some(names)),
                None => (&**prefix, None),
            };
            mirrors.push(Mirror {
                map: map.clone(),
                mapping: in_mapping(keys, names, false),
                direction: Direction::In { max_vars: self.max_vars, max_bytes: MAX_BYTES },
            });
        }
        let server = Server {
            urls: self.server,
            bucket: self.bucket,
            creds_file: self.creds_file,
            nkey_file: self.nkey_file,
            user: self.user,
            password_file: self.password_file,
            ca_file: self.ca_file,
            cert_file: self.cert_file,
            key_file: self.key_file,
        };
        Config { node, server, mirrors, metrics: self.metrics }.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn a_file_replaces_the_flags() {
        Cli::command().debug_assert();
        let taken = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(taken("mapvar-bridge run --config a.toml -q"));
        assert!(!taken("mapvar-bridge run --config a.toml --user me"));
        assert!(!taken("mapvar-bridge run sim --config a.toml"));
    }

    #[test]
    fn flags_name_the_mirrors_of_one_map() {
        let line = "mapvar-bridge run sim --server nats://hub --node a --out x. --in b.=peer.";
        let cli = Cli::try_parse_from(line.split(' ')).expect("a command line");
        let Command::Run(setup) = cli.command else { panic!("another command") };
        let config = setup.read().expect("a configuration");
        let found: Vec<(&str, &str)> = config
            .mirrors
            .iter()
            .map(|mirror| (&*mirror.mapping.keys, &*mirror.mapping.names))
            .collect();
        assert_eq!(found, [("a.x.", "x."), ("b.", "peer.")]);
    }
}
