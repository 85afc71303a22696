//! Variables as retained messages of MQTT: a late subscriber sees the map, whatever happened to the
//! broker, which is the server's own listener for MQTT.

use crate::{
    children::Running,
    server::{Server, free_address},
};
use mapvar::Map;
use mapvar_harness::{Folder, unique, watchdog};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(40);
/// What a broker retains has come when nothing more came for so long.
const QUIET: Duration = Duration::from_millis(400);

type Topics = BTreeMap<String, String>;

/// Runs with this server.
pub fn run(program: &Path, server: &Path) -> Result<(), String> {
    watchdog::doing("mqtt");
    play(program, server).map_err(|error| format!("mqtt: {error}"))
}

fn play(program: &Path, server: &Path) -> io::Result<()> {
    let folder = Folder::new("mqtt")?;
    let broker = free_address()?;
    let configuration = folder.join("mqtt.conf");
    let text = format!("server_name: broker\nmqtt {{ listen: \"{broker}\" }}\n");
    fs::write(&configuration, text)?;
    let mut server = Server::start_with(server, folder.path(), &configuration)?;
    // Left by a bridge that was not there when its variable was removed.
    retain(broker, "mapvar/rig/x/gone", "1")?;

    let name = unique("mqtt");
    let map = Map::options().name(&name).create().map_err(io::Error::other)?;
    let set = |variable: &str, number: i64| map.set(variable, number).map_err(io::Error::other);
    set("x.oil temp", 1)?;
    set("y.other", 1)?;
    map.set("x.state", "ready").map_err(io::Error::other)?;
    let log = File::create(folder.join("mqtt.log"))?;
    let mut command = Command::new(program);
    command.args(["mqtt", &name, "--node", "rig", "--out", "x.", "--max-rate", "0", "--broker"]);
    command.arg(format!("mqtt://{broker}")).stdin(Stdio::null());
    let bridge = Running::start(command.stdout(log.try_clone()?).stderr(log))?;
    let online = [("x/oil=20temp", "1"), ("x/state", "ready"), ("x/$state", "online")];
    becomes(broker, &online, "a late subscriber")?;

    for number in 1..=1000 {
        set("x.oil temp", number)?;
    }
    map.remove("x.state").map_err(io::Error::other)?;
    let changed = [("x/oil=20temp", "1000"), ("x/$state", "online")];
    becomes(broker, &changed, "changes and a removal")?;

    server.kill();
    set("x.oil temp", 2000)?;
    server.lose_store(1);
    server.run()?;
    let anew = [("x/oil=20temp", "2000"), ("x/$state", "online")];
    becomes(broker, &anew, "an empty broker")?;

    drop(bridge);
    let offline = [("x/oil=20temp", "2000"), ("x/$state", "offline")];
    becomes(broker, &offline, "a killed bridge")?;
    println!("mqtt: a late subscriber sees the map, and whether its bridge lives");
    Ok(())
}

/// Waits until the broker retains just these topics below the node's.
fn becomes(broker: SocketAddr, topics: &[(&str, &str)], after: &str) -> io::Result<()> {
    let wanted: Topics = topics
        .iter()
        .map(|(topic, payload)| (format!("mapvar/rig/{topic}"), (*payload).to_owned()))
        .collect();
    let began = Instant::now();
    loop {
        let found = retained(broker);
        if found.as_ref().is_ok_and(|found| *found == wanted) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("after {after}: {found:?} is not {wanted:?}")));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Returns what a new subscriber is told at once.
fn retained(broker: SocketAddr) -> io::Result<Topics> {
    let (client, mut connection) = Client::new(options(broker, "reader"), 10);
    client.subscribe("mapvar/rig/#", QoS::AtLeastOnce).map_err(io::Error::other)?;
    let mut topics = Topics::new();
    let mut until = Instant::now() + PATIENCE;
    while let Ok(event) = connection.recv_timeout(until.saturating_duration_since(Instant::now())) {
        match event.map_err(io::Error::other)? {
            Event::Incoming(Packet::SubAck(_)) => until = Instant::now() + QUIET,
            Event::Incoming(Packet::Publish(message)) if message.retain => {
                let payload = String::from_utf8_lossy(&message.payload).into_owned();
                topics.insert(message.topic, payload);
            }
            _ => {}
        }
    }
    Ok(topics)
}

fn retain(broker: SocketAddr, topic: &str, payload: &str) -> io::Result<()> {
    let (client, mut connection) = Client::new(options(broker, "writer"), 10);
    client.publish(topic, QoS::AtLeastOnce, true, payload).map_err(io::Error::other)?;
    while let Ok(event) = connection.recv_timeout(PATIENCE) {
        if let Event::Incoming(Packet::PubAck(_)) = event.map_err(io::Error::other)? {
            return Ok(());
        }
    }
    Err(io::Error::other("the broker does not answer"))
}

fn options(broker: SocketAddr, name: &str) -> MqttOptions {
    MqttOptions::new(name, broker.ip().to_string(), broker.port())
}
