//! The figures of all mirrors as text for Prometheus, at an address on this machine.

use crate::{
    failure::Failure,
    mirror::{
        Running,
        tally::{Figures, State},
    },
};
use std::{fmt::Write as _, io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// How long a client may take. One is served at a time.
const PATIENCE: Duration = Duration::from_secs(1);

/// A figure: its name, its type, its meaning, and its value.
type Metric = (&'static str, &'static str, &'static str, fn(&Figures) -> u64);

const METRICS: [Metric; 9] = [
    ("live", "gauge", "1 if all is equal and changes follow", |it| {
        u64::from(it.state == State::Live)
    }),
    ("variables", "gauge", "Variables of the prefix", |it| it.variables),
    ("sent_total", "counter", "Acknowledged puts and deletions", |it| it.sent),
    ("received_total", "counter", "Changes of the map", |it| it.received),
    ("failed_total", "counter", "Puts without an answer", |it| it.failed),
    ("old_total", "counter", "Messages older than what the map has", |it| it.old),
    ("ephemeral_total", "counter", "Ephemeral ones, which MQTT lacks", |it| it.ephemeral),
    ("refused_total", "counter", "Values that were refused", |it| it.refused),
    ("reconciliations_total", "counter", "Full comparisons", |it| it.reconciliations),
];

/// Serves the figures, without end.
///
/// # Errors
/// The address cannot be used.
pub(crate) async fn serve(address: SocketAddr, running: &[Running]) -> Failure {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => return Failure::usage(format!("metrics at {address}: {error}")),
    };
    loop {
        // A client that went away, or that takes too long, gets nothing.
        if let Ok((client, _)) = listener.accept().await {
            let _ = timeout(PATIENCE, answer(client, running)).await;
        } else {
            tokio::time::sleep(PATIENCE).await;
        }
    }
}

async fn answer(mut client: TcpStream, running: &[Running]) -> io::Result<()> {
    // What is asked for does not matter, but it has to be read before the connection is closed.
    let mut request = [0; 4096];
    let _ = client.read(&mut request).await?;
    let mirrors = running.iter().map(|mirror| {
        let direction = if mirror.job.mirror.is_out() { "out" } else { "in" };
        (direction, mirror.job.mirror.mapping.keys.as_str(), mirror.job.tally.read())
    });
    let body = text(&mirrors.collect::<Vec<_>>());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    client.shutdown().await
}

/// Keys consist of letters, digits and `.`, `_`, `-`, so that no label needs an escape.
fn text(mirrors: &[(&str, &str, Figures)]) -> String {
    let mut text = String::new();
    for (name, kind, meaning, value) in METRICS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP mapvar_bridge_{name} {meaning}");
        let _ = writeln!(text, "# TYPE mapvar_bridge_{name} {kind}");
        for (direction, keys, figures) in mirrors {
            let value = value(figures);
            let labels = format!("direction=\"{direction}\",keys=\"{keys}\"");
            let _ = writeln!(text, "mapvar_bridge_{name}{{{labels}}} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_a_line_for_each_mirror() {
        let figures = Figures { state: State::Live, sent: 7, ..Figures::default() };
        let text = text(&[("out", "a.", figures), ("in", "b.", Figures::default())]);
        assert!(text.contains("mapvar_bridge_live{direction=\"out\",keys=\"a.\"} 1\n"), "{text}");
        assert!(text.contains("mapvar_bridge_sent_total{direction=\"out\",keys=\"a.\"} 7\n"));
        assert!(text.contains("mapvar_bridge_live{direction=\"in\",keys=\"b.\"} 0\n"));
        assert_eq!(text.lines().count(), METRICS.len() * 4);
    }
}
