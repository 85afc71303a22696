//! The TOML file.

use super::{
    Config, Direction, MAX_BYTES, MAX_RATE, MAX_VARS, Mirror, Place, Server, in_mapping,
    out_mapping, separator,
};
use crate::failure::Failure;
use serde::Deserialize;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    node: String,
    metrics: Option<SocketAddr>,
    server: ServerTable,
    #[serde(default)]
    mirror: Vec<MirrorTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerTable {
    urls: Vec<String>,
    bucket: String,
    creds_file: Option<PathBuf>,
    nkey_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MirrorTable {
    map: Option<String>,
    file: Option<String>,
    #[serde(default)]
    global: bool,
    out: Option<String>,
    #[serde(rename = "in")]
    into: Option<String>,
    /// The prefix of the names here, if it differs from that of the keys.
    #[serde(rename = "as")]
    names: Option<String>,
    separator: Option<String>,
    max_rate: Option<u32>,
    max_vars: Option<usize>,
    max_bytes: Option<u64>,
}

/// Reads the configuration.
///
/// # Errors
/// The file cannot be read, is no TOML, has an unknown key, or makes no sense.
pub(crate) fn read(path: &Path) -> Result<Config, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("configuration \"{}\": {error}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    parse(&text).map_err(|error| failed(&error))
}

pub(super) fn parse(text: &str) -> Result<Config, Failure> {
    let document: Document =
        toml::from_str(text).map_err(|error| Failure::usage(error.to_string()))?;
    let node = document.node;
    let mirrors = document.mirror.into_iter().map(|table| table.mirror(&node));
    let mirrors = mirrors.collect::<Result<_, _>>()?;
    let ServerTable { urls, bucket, creds_file, nkey_file, user, .. } = document.server;
    let ServerTable { password_file, ca_file, cert_file, key_file, .. } = document.server;
    let server = Server {
        urls,
        bucket,
        creds_file,
        nkey_file,
        user,
        password_file,
        ca_file,
        cert_file,
        key_file,
    };
    Config { node, server, mirrors, metrics: document.metrics }.checked()
}

impl MirrorTable {
    fn mirror(self, node: &str) -> Result<Mirror, Failure> {
        let map = Place::of(self.map, self.file, self.global)?;
        let slashes = separator(self.separator.as_deref())?;
        let only = |is_out: bool, found: bool, name: &str| {
            let side = if is_out { "out" } else { "in" };
            if found { Err(Failure::usage(format!("{name} is for `{side}`"))) } else { Ok(()) }
        };
        let (mapping, direction) = match (self.out, self.into) {
            (Some(prefix), None) => {
                only(false, self.max_vars.is_some(), "max_vars")?;
                only(false, self.max_bytes.is_some(), "max_bytes")?;
                only(false, self.names.is_some(), "as")?;
                let max_rate = self.max_rate.unwrap_or(MAX_RATE);
                (out_mapping(node, &prefix, slashes), Direction::Out { max_rate })
            }
            (None, Some(prefix)) => {
                only(true, self.max_rate.is_some(), "max_rate")?;
                let max_vars = self.max_vars.unwrap_or(MAX_VARS);
                let max_bytes = self.max_bytes.unwrap_or(MAX_BYTES);
                let mapping = in_mapping(&prefix, self.names.as_deref(), slashes);
                (mapping, Direction::In { max_vars, max_bytes })
            }
            _ => return Err(Failure::usage("a mirror needs either `out` or `in`")),
        };
        Ok(Mirror { map, mapping, direction })
    }
}
