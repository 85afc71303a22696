//! What the bridge is to do: from a TOML file, or from flags.

pub(crate) mod file;
pub(crate) mod broker;

use crate::{
    failure::Failure,
    names::{self, Mapping},
};
use mapvar::{Map, MapOptions, Scope};
use std::{net::SocketAddr, path::PathBuf};

/// Everything that `run` needs.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) node: String,
    pub(crate) server: Server,
    pub(crate) mirrors: Vec<Mirror>,
    /// Where the figures are served.
    pub(crate) metrics: Option<SocketAddr>,
}

/// The server and how to authenticate. Secrets are in files, or in the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    pub(crate) urls: Vec<String>,
    pub(crate) bucket: String,
    pub(crate) creds_file: Option<PathBuf>,
    pub(crate) nkey_file: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) cert_file: Option<PathBuf>,
    pub(crate) key_file: Option<PathBuf>,
}

/// One prefix of one map.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    pub(crate) map: Place,
    pub(crate) mapping: Mapping,
    pub(crate) direction: Direction,
}

/// Where the values come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    /// The map is the truth. `max_rate` is the most puts of one variable in a second; 0 is no limit.
    Out { max_rate: u32 },
    /// The bucket tells.
    In { max_vars: usize, max_bytes: u64 },
}

/// A map, by its name or its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) is_file: bool,
    pub(crate) global: bool,
}

impl Place {
    /// Returns the place of a table of the configuration.
    fn of(map: Option<String>, file: Option<String>, global: bool) -> Result<Self, Failure> {
        match (map, file) {
            (Some(name), None) => Ok(Self { name, is_file: false, global }),
            (None, Some(name)) if !global => Ok(Self { name, is_file: true, global: false }),
            _ => Err(Failure::usage("a mirror needs either `map` or `file`")),
        }
    }

    /// Returns the options that open the map.
    pub(crate) fn options(&self) -> MapOptions {
        if self.is_file {
            return Map::options().file(&self.name);
        }
        let scope = if self.global { Scope::Global } else { Scope::Local };
        Map::options().name(&*self.name).scope(scope)
    }
}

/// The rate of a variable unless the configuration says otherwise.
pub(crate) const MAX_RATE: u32 = 100;
/// The limits of an `in` prefix unless the configuration says otherwise.
pub(crate) const MAX_VARS: usize = 100_000;
pub(crate) const MAX_BYTES: u64 = 256 << 20;

/// Returns the mapping of an `out` prefix.
pub(crate) fn out_mapping(node: &str, prefix: &str, slashes: bool) -> Mapping {
    let dotted = if slashes { prefix.replace('/', ".") } else { prefix.to_owned() };
    Mapping { names: prefix.to_owned(), keys: format!("{node}.{dotted}"), slashes }
}

/// Returns the mapping of an `in` prefix: that of the keys, and that of the names if it differs.
pub(crate) fn in_mapping(keys: &str, names: Option<&str>, slashes: bool) -> Mapping {
    let dotted = if slashes { keys.replace('/', ".") } else { keys.to_owned() };
    Mapping { names: names.unwrap_or(keys).to_owned(), keys: dotted, slashes }
}

impl Config {
    /// Checks what no single field shows.
    ///
    /// # Errors
    /// A name or prefix that is none; two mirrors that would write the same variable or key.
    pub(crate) fn checked(self) -> Result<Self, Failure> {
        check_node(&self.node)?;
        if !names::is_node(&self.server.bucket) {
            return Err(Failure::usage(format!(
                "bucket {:?}: use 1 to 64 of A-Z a-z 0-9 _ -, and no _ at the start",
                self.server.bucket
            )));
        }
        if self.server.urls.is_empty() {
            return Err(Failure::usage("no server; say --server, or urls in the file"));
        }
        if self.server.urls.iter().any(|url| url.contains('@')) {
            return Err(Failure::usage(
                "server URL: it contains credentials, which others could see; use a file",
            ));
        }
        if self.metrics.is_some_and(|address| !address.ip().is_loopback()) {
            return Err(Failure::usage(
                "metrics: use an address of this machine, as 127.0.0.1:9464",
            ));
        }
        if self.mirrors.is_empty() {
            return Err(Failure::usage("no mirror; say --out or --in, or [[mirror]] in the file"));
        }
        check_mirrors(&self.mirrors)?;
        Ok(self)
    }
}

fn check_node(node: &str) -> Result<(), Failure> {
    if names::is_node(node) {
        return Ok(());
    }
    let rule = "use 1 to 64 of A-Z a-z 0-9 _ -, and no _ at the start";
    Err(Failure::usage(format!("node {node:?}: {rule}")))
}

fn check_mirrors(mirrors: &[Mirror]) -> Result<(), Failure> {
    for mirror in mirrors {
        mirror.check()?;
    }
    for (at, one) in mirrors.iter().enumerate() {
        for two in mirrors.iter().skip(at + 1) {
            one.check_beside(two)?;
        }
    }
    Ok(())
}

/// Whether a separator is the slash.
fn separator(separator: Option<&str>) -> Result<bool, Failure> {
    match separator {
        None | Some(".") => Ok(false),
        Some("/") => Ok(true),
        Some(other) => Err(Failure::usage(format!("separator {other:?}: use \".\" or \"/\""))),
    }
}

impl Mirror {
    pub(crate) fn is_out(&self) -> bool {
        matches!(self.direction, Direction::Out { .. })
    }

    fn check(&self) -> Result<(), Failure> {
        let Mapping { names, keys, slashes } = &self.mapping;
        let separator = if *slashes { '/' } else { '.' };
        if !names::is_prefix(keys) || keys.is_empty() || keys.starts_with('_') {
            return Err(Failure::usage(format!(
                "prefix {keys:?}: use tokens of A-Z a-z 0-9 _ -, each with {separator:?} behind it"
            )));
        }
        if !names.is_empty() && !names.ends_with(separator) {
            return Err(Failure::usage(format!("prefix {names:?}: end it with {separator:?}")));
        }
        if !self.is_out() && names.is_empty() {
            return Err(Failure::usage("a prefix of `in` is empty: it could overwrite anything"));
        }
        Ok(())
    }

    fn check_beside(&self, other: &Self) -> Result<(), Failure> {
        let overlap = |one: &str, two: &str| one.starts_with(two) || two.starts_with(one);
        let names = overlap(&self.mapping.names, &other.mapping.names);
        // Values that come in would go out again, or two mirrors would write one variable.
        if self.map == other.map && names && !(self.is_out() && other.is_out()) {
            return Err(Failure::usage(format!(
                "prefixes {:?} and {:?} of one map overlap",
                self.mapping.names, other.mapping.names
            )));
        }
        let keys = overlap(&self.mapping.keys, &other.mapping.keys);
        if keys && self.is_out() && other.is_out() {
            return Err(Failure::usage(format!(
                "two mirrors own {:?} and {:?}; a key has one owner",
                self.mapping.keys, other.mapping.keys
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
