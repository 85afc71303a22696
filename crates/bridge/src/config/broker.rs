//! A broker of MQTT, and what is published there: from a TOML file, or from flags.

use super::{Direction, MAX_RATE, Mirror, Place, out_mapping};
use crate::failure::Failure;
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The environment variable with the password, if it is in no file.
const PASSWORD: &str = "MAPVAR_BRIDGE_MQTT_PASSWORD";
const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;
/// The topics of a node begin so unless the configuration says otherwise.
pub(crate) const TOPICS: &str = "mapvar/";

/// Everything that `mqtt` needs.
#[derive(Clone, Debug)]
pub(crate) struct Publishing {
    pub(crate) node: String,
    pub(crate) broker: Broker,
    /// Their keys are topics, with dots in place of slashes.
    pub(crate) mirrors: Vec<Mirror>,
}

/// The broker and how to authenticate.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    /// The certificates that are trusted. With them the connection is encrypted.
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    node: String,
    broker: BrokerTable,
    #[serde(default)]
    publish: Vec<PublishTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BrokerTable {
    url: String,
    topics: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishTable {
    map: Option<String>,
    file: Option<String>,
    #[serde(default)]
    global: bool,
    out: String,
    separator: Option<String>,
    max_rate: Option<u32>,
}

/// Reads the configuration.
///
/// # Errors
/// The file cannot be read, is no TOML, has an unknown key, or makes no sense.
pub(crate) fn read(path: &Path) -> Result<Publishing, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("configuration \"{}\": {error}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    parse(&text).map_err(|error| failed(&error))
}

fn parse(text: &str) -> Result<Publishing, Failure> {
    let Document { node, broker, publish } =
        toml::from_str(text).map_err(|error| Failure::usage(error.to_string()))?;
    let topics = broker.topics.as_deref().unwrap_or(TOPICS);
    let mirrors = publish.into_iter().map(|table| {
        let map = Place::of(table.map, table.file, table.global)?;
        let slashes = super::separator(table.separator.as_deref())?;
        let max_rate = table.max_rate.unwrap_or(MAX_RATE);
        mirror(&node, topics, map, &table.out, slashes, max_rate)
    });
    let mirrors = mirrors.collect::<Result<_, _>>()?;
    let BrokerTable { url, user, password_file, ca_file, .. } = broker;
    let broker = Broker::of(&url, user, password_file, ca_file)?;
    Publishing { node, broker, mirrors }.checked()
}

/// Returns the mirror of a prefix of names to topics.
///
/// # Errors
/// `topics` does not consist of whole levels.
pub(crate) fn mirror(
    node: &str,
    topics: &str,
    map: Place,
    prefix: &str,
    slashes: bool,
    max_rate: u32,
) -> Result<Mirror, Failure> {
    if topics.contains('.') || !(topics.is_empty() || topics.ends_with('/')) {
        return Err(Failure::usage(format!(
            "topics {topics:?}: use levels, each with \"/\" behind"
        )));
    }
    let above = topics.replace('/', ".");
    let mapping = out_mapping(&format!("{above}{node}"), prefix, slashes);
    Ok(Mirror { map, mapping, direction: Direction::Out { max_rate } })
}

impl Publishing {
    /// Checks what no single field shows.
    ///
    /// # Errors
    /// A name or prefix that is none; two prefixes that overlap; no prefix.
    pub(crate) fn checked(self) -> Result<Self, Failure> {
        super::check_node(&self.node)?;
        if self.mirrors.is_empty() {
            return Err(Failure::usage(
                "nothing to publish; say --out, or [[publish]] in the file",
            ));
        }
        super::check_mirrors(&self.mirrors)?;
        Ok(self)
    }
}

impl Broker {
    /// Reads the URL: `mqtt://HOST`, or `mqtts://HOST` for TLS, perhaps with a port.
    ///
    /// # Errors
    /// It is none, has credentials, or TLS has no trusted certificates.
    pub(crate) fn of(
        url: &str,
        user: Option<String>,
        password_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        if url.contains('@') {
            return Err(Failure::usage(
                "broker URL: it contains credentials, which others could see; use a file",
            ));
        }
        let none =
            || Failure::usage(format!("broker URL {url:?}: use mqtt://HOST:PORT or mqtts://"));
        let (scheme, rest) = url.split_once("://").ok_or_else(none)?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" | "tls" => true,
            _ => return Err(none()),
        };
        if tls != ca_file.is_some() {
            return Err(Failure::usage("mqtts:// and ca_file go together"));
        }
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| none())?),
            _ => (rest, if tls { TLS_PORT } else { PORT }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || host.contains('/') {
            return Err(none());
        }
        if user.is_none() && password_file.is_some() {
            return Err(Failure::usage("password_file needs a user"));
        }
        Ok(Self { host, port, user, password_file, ca_file })
    }

    /// Returns the password of the user.
    ///
    /// # Errors
    /// The file cannot be read, or there is none.
    pub(crate) fn password(&self) -> Result<String, Failure> {
        match &self.password_file {
            Some(file) => {
                let text = fs::read_to_string(file).map_err(|error| {
                    Failure::usage(format!("file \"{}\": {error}", file.display()))
                })?;
                Ok(text.trim_end().to_owned())
            }
            None => std::env::var(PASSWORD).map_err(|_| {
                Failure::usage(format!(
                    "a user needs a password: say password_file, or set {PASSWORD}"
                ))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read() {
        let publishing = parse(
            "node = 'rig-a'\n\
             [broker]\nurl = 'mqtts://hub'\nca_file = 'ca.pem'\ntopics = 'home/pc/'\n\
             [[publish]]\nmap = 'sim'\nout = 'engine.'\n",
        )
        .unwrap();
        assert_eq!((publishing.broker.host.as_str(), publishing.broker.port), ("hub", TLS_PORT));
        let mapping = &publishing.mirrors.first().unwrap().mapping;
        assert_eq!(
            mapping.key("engine.oil temp").as_deref(),
            Some("home.pc.rig-a.engine.oil=20temp")
        );
    }

    #[test]
    fn urls_are_read_or_refused() {
        let of = |url| Broker::of(url, None, None, None).map(|broker| (broker.host, broker.port));
        assert_eq!(of("mqtt://hub").unwrap(), ("hub".into(), 1883));
        assert_eq!(of("mqtt://hub:7/").unwrap(), ("hub".into(), 7));
        assert_eq!(of("mqtt://[::1]:7").unwrap(), ("::1".into(), 7));
        assert_eq!(of("mqtt://[::1]").unwrap(), ("::1".into(), 1883));
        for url in [
            "hub",
            "http://hub",
            "mqtt://",
            "mqtt://hub:x",
            "mqtt://u:p@hub",
            "mqtts://hub",
            "mqtt://a/b",
        ] {
            assert!(of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let with =
            |publish: &str| parse(&format!("node = 'a'\n[broker]\nurl = 'mqtt://hub'\n{publish}"));
        for publish in [
            "",
            "[[publish]]\nout = 'a.'",
            "[[publish]]\nmap = 'm'\nout = 'a'",
            "[[publish]]\nmap = 'm'\nout = 'a.'\n[[publish]]\nmap = 'm'\nout = 'a.b.'",
            "[[publish]]\nmap = 'm'\nout = 'a.'\nwhat = 1",
        ] {
            assert!(with(publish).is_err(), "{publish}");
        }
        assert!(with("topics = 'x'\n[[publish]]\nmap = 'm'\nout = 'a.'").is_err());
        assert!(with("topics = 'x/'\n[[publish]]\nmap = 'm'\nout = 'a.'").is_ok());
    }
}
