//! The connection to the server.

use crate::{config::Server, failure::Failure};
use async_nats::{Client, ConnectOptions, Event, jetstream};
use std::{fs, path::Path, time::Duration};
use tokio::sync::watch;

/// How often the connection has been made, and whether it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
    pub(crate) connected: bool,
}

/// A connection, which is made anew whenever it breaks.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) jetstream: jetstream::Context,
    pub(crate) epoch: watch::Receiver<Epoch>,
}

/// The oldest server that works.
const FLOOR: (u64, u64) = (2, 10);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The waits between two attempts to connect.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The environment variables with secrets, if they are in no file.
const CREDS: &str = "MAPVAR_BRIDGE_CREDS";
const NKEY: &str = "MAPVAR_BRIDGE_NKEY";
const PASSWORD: &str = "MAPVAR_BRIDGE_PASSWORD";

/// Returns the wait before the attempt of this number.
pub(crate) fn backoff(attempt: u32) -> Duration {
    (SHORTEST_WAIT * 2u32.saturating_pow(attempt.min(10))).min(LONGEST_WAIT)
}

/// Connects, or keeps trying to.
///
/// # Errors
/// A file with a secret or a certificate cannot be read, or a URL is none.
pub(crate) async fn connect(server: &Server, node: &str) -> Result<Link, Failure> {
    let (tell, epoch) = watch::channel(Epoch::default());
    let options = authenticated(server)?
        .name(format!("mapvar-bridge {node}"))
        .retry_on_initial_connect()
        .request_timeout(Some(TIMEOUT))
        .connection_timeout(TIMEOUT)
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(|attempts| {
            // The first attempt follows at once.
            let attempt = u32::try_from(attempts).unwrap_or(u32::MAX);
            attempt.checked_sub(1).map_or(Duration::ZERO, backoff)
        })
        .event_callback(move |event| {
            note(&event, &tell);
            std::future::ready(())
        });
    let client = options.connect(server.urls.clone()).await;
    let client = client.map_err(|error| Failure::server(format!("connect: {error}")))?;
    let mut jetstream = jetstream::new(client.clone());
    jetstream.set_timeout(TIMEOUT);
    Ok(Link { client, jetstream, epoch })
}

fn note(event: &Event, tell: &watch::Sender<Epoch>) {
    match event {
        Event::Connected => {
            tracing::info!("connected");
            tell.send_modify(|epoch| {
                *epoch = Epoch { number: epoch.number + 1, connected: true };
            });
        }
        Event::Disconnected | Event::Closed => {
            tracing::warn!("{event}");
            tell.send_modify(|epoch| epoch.connected = false);
        }
        // Among these is the refusal of a subject to which this user has no right.
        Event::ServerError(_) => tracing::warn!("{event}"),
        other => tracing::debug!("{other}"),
    }
}

fn authenticated(server: &Server) -> Result<ConnectOptions, Failure> {
    let mut options = ConnectOptions::new();
    let creds = secret(server.creds_file.as_deref(), CREDS)?;
    let nkey = secret(server.nkey_file.as_deref(), NKEY)?;
    if let Some(creds) = creds {
        options = options.credentials(&creds)?;
    } else if let Some(seed) = nkey {
        options = options.nkey(seed);
    } else if let Some(user) = &server.user {
        let password = secret(server.password_file.as_deref(), PASSWORD)?;
        let password = password.ok_or_else(|| {
            Failure::usage(format!("user {user:?}: say password_file, or set {PASSWORD}"))
        })?;
        options = options.user_and_password(user.clone(), password);
    }
    if let Some(file) = &server.ca_file {
        readable(file)?;
        options = options.add_root_certificates(file.clone());
    }
    match (&server.cert_file, &server.key_file) {
        (Some(cert), Some(key)) => {
            readable(cert)?;
            readable(key)?;
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        (None, None) => {}
        _ => return Err(Failure::usage("cert_file and key_file go together")),
    }
    Ok(options)
}

fn secret(file: Option<&Path>, variable: &str) -> Result<Option<String>, Failure> {
    match file {
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
            Ok(Some(text.trim_end().to_owned()))
        }
        None => Ok(std::env::var(variable).ok()),
    }
}

fn readable(file: &Path) -> Result<(), Failure> {
    fs::metadata(file).map(drop).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("file \"{}\": {error}", file.display()))
}

impl Link {
    /// Waits until the connection stands, and returns its number.
    pub(crate) async fn connected(&mut self) -> u64 {
        let number = self.epoch.wait_for(|epoch| epoch.connected).await.map(|epoch| epoch.number);
        match number {
            Ok(number) => number,
            // The client is gone, so this task ends too.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until this connection has broken.
    pub(crate) async fn broken(&mut self, number: u64) {
        let over = |epoch: &Epoch| !epoch.connected || epoch.number != number;
        let _ = self.epoch.wait_for(over).await;
    }

    /// Returns the server's version.
    ///
    /// # Errors
    /// The server is too old.
    pub(crate) fn version(&self) -> Result<String, Failure> {
        let version = self.client.server_info().version;
        if is_supported(&version) {
            return Ok(version);
        }
        let (major, minor) = FLOOR;
        Err(Failure::server(format!(
            "nats-server {version}: it is too old; use {major}.{minor} or later"
        )))
    }
}

fn is_supported(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= FLOOR,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused() {
        for version in ["2.10.27", "2.15.1", "3.0.0-beta"] {
            assert!(is_supported(version), "{version}");
        }
        for version in ["2.9.10", "1.4.1", "", "x"] {
            assert!(!is_supported(version), "{version}");
        }
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        assert_eq!(backoff(0), SHORTEST_WAIT);
        assert!(backoff(1) > backoff(0));
        assert_eq!(backoff(u32::MAX), LONGEST_WAIT);
    }
}
