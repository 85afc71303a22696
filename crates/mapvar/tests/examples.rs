//! Runs the examples as processes and checks their output.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail, also in its helpers"
)]

mod common;

use mapvar::Map;
use std::{
    env::consts::EXE_SUFFIX,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const WATCHDOG: Duration = Duration::from_secs(20);

/// Returns a command that runs an example. `cargo test` builds the examples beside the folder of
/// the tests, unless its arguments select targets.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path: PathBuf = profile.join("examples").join(format!("{name}{EXE_SUFFIX}"));
    assert!(
        path.exists(),
        "{} is not built; run `cargo test` without `--test` and `--all-targets`, or `cargo build \
         -p mapvar --examples` first",
        path.display()
    );
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running process, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for its end, and then reads its output, which must fit into the buffer of a pipe.
fn finish(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > WATCHDOG {
            let _ = child.kill();
            panic!("an example did not end within {WATCHDOG:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn file_reads_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.map");
    for _ in 0..2 {
        let output = finish(example("file").arg(&path).spawn().unwrap());
        assert!(printed(&output).ends_with("read foo = hello, bar = 77\n"), "{output:?}");
        assert!(path.exists());
    }
}

#[test]
fn client_reads_what_server_set() {
    let name = format!("example-test.{}", std::process::id());
    let client = || finish(example("client").arg(&name).spawn().unwrap());
    assert!(!client().status.success(), "there is a map before there is a server");

    let mut server = example("server");
    let mut server = Running(server.arg(&name).stdin(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let (sender, output) = mpsc::channel();
    thread::spawn(
        move || while lines.next().is_some_and(|line| sender.send(line.unwrap()).is_ok()) {},
    );
    let line = output.recv_timeout(WATCHDOG).expect("the server says that it is ready");
    assert!(line.contains("set foo and bar"), "{line}");

    assert_eq!(printed(&client()), "foo = hello\nbar = 77\n");

    server.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    let line = output.recv_timeout(WATCHDOG).expect("the server says that it ends");
    assert!(line.contains("closed"), "{line}");
    let begun = Instant::now();
    while server.0.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < WATCHDOG, "the server did not end");
        thread::sleep(Duration::from_millis(2));
    }
    assert!(server.0.wait().unwrap().success());
    let output = client();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("NotFound"), "{error}");
}

/// An example that runs, and the lines that it prints.
struct Printing {
    process: Running,
    lines: mpsc::Receiver<String>,
}

impl Printing {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = example(name);
        command.args(arguments).stderr(Stdio::inherit());
        let mut process = Running(common::start(&mut command));
        let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let (sender, output) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines: output }
    }

    /// Waits for a line that begins so, and returns its rest.
    #[track_caller]
    fn line(&self, begin: &str) -> String {
        let begun = Instant::now();
        let mut others = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(WATCHDOG.saturating_sub(begun.elapsed())) {
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.to_owned();
            }
            others.push(line);
        }
        panic!("no line begins {begin:?}; the last of {} are {:?}", others.len(), others.last())
    }

    /// Waits for its end, and returns the lines that were not yet read.
    #[track_caller]
    fn end(mut self) -> Vec<String> {
        let begun = Instant::now();
        while self.process.0.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < WATCHDOG, "an example did not end within {WATCHDOG:?}");
            thread::sleep(Duration::from_millis(2));
        }
        assert!(self.process.0.wait().unwrap().success());
        self.lines.iter().collect()
    }

    fn id(&self) -> u32 {
        self.process.0.id()
    }
}

#[test]
fn overlay_outlives_publishers() {
    let name = common::unique("telemetry");
    let overlay = Printing::start("telemetry", &["overlay", &name]);
    let publisher = Printing::start("telemetry", &["publish", &name]);
    assert_eq!(overlay.line("publisher "), format!("{} is here", publisher.id()));
    let shown = overlay.line("car ");
    let numbers: Vec<f64> = shown.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    assert!(matches!(numbers[..], [speed, rpm, _] if (rpm - speed * 30.0).abs() < 1e-6), "{shown}");
    assert!(overlay.line("lap ").contains("best"));

    drop(publisher);
    overlay.line("the publisher is gone");
    let publisher = Printing::start("telemetry", &["publish", &name]);
    assert_eq!(overlay.line("publisher "), format!("{} is here", publisher.id()));
    overlay.line("car ");

    let map = Map::open(&name).unwrap();
    let laps: u32 = map.get("lap/count").unwrap();
    assert!(laps > 0);
    map.set("stop", true).unwrap();
    publisher.end();
    overlay.end();
}

#[test]
fn jobs_of_killed_workers_are_done_by_others() {
    let name = common::unique("workers");
    let service = Printing::start("workers", &["serve", &name, "6"]);
    let map = Map::options().name(&name).wait(WATCHDOG).open().unwrap();
    let takes_the_first = |name: &str, worker: &Printing| {
        service.line(&format!("worker {name}: 0001"));
        assert_eq!(map.owner("taken/0001").unwrap().map(|it| it.pid), Some(worker.id()));
    };
    let work = |who, time| Printing::start("workers", &["work", &name, who, time]);

    let anna = work("anna", "60000");
    takes_the_first("anna", &anna);
    drop(anna);
    service.line("worker anna is gone");

    // This one has the job while another does the rest and then waits.
    let ben = work("ben", "60000");
    takes_the_first("ben", &ben);
    let eve = work("eve", "1");
    let idle = map.var::<String>("worker/eve").unwrap();
    assert!(idle.wait_until(WATCHDOG, |state| state == "idle").unwrap().is_some());
    assert_eq!(map.names().prefix("todo/").sorted().unwrap(), ["todo/0001"]);
    assert_eq!(map.names().prefix("done/").count(), 5);
    drop(ben);

    let begun = service.line("jobs begun: ");
    assert!(eve.end().is_empty());
    assert!(service.end().is_empty());
    // Each job was done once; two were begun and did not end.
    assert_eq!(begun, "8");
    for job in 1..=6_u64 {
        let done: (String, u64) = map.get(&format!("done/000{job}")).unwrap();
        assert_eq!(done, ("eve".into(), job * job));
    }
    assert!(map.names().prefix("t").try_next().unwrap().is_none());
}

#[test]
fn many_workers_do_each_job_once() {
    let (map, name) = common::map("many-workers");
    let service = Printing::start("workers", &["serve", &name, "100"]);
    let start = |who: &u32| Printing::start("workers", &["work", &name, &who.to_string(), "0"]);
    let workers: Vec<Printing> = (0..4).map(|who| start(&who)).collect();
    assert_eq!(service.line("jobs begun: "), "100");
    for worker in workers {
        worker.end();
    }
    let done: Vec<_> = map.iter().prefix("done/").collect::<mapvar::Result<_>>().unwrap();
    assert_eq!(done.len(), 100);
    let sum: u64 = done.iter().map(|it| it.get::<(String, u64)>().unwrap().1).sum();
    assert_eq!(sum, (1..=100).map(|it| it * it).sum::<u64>());
}

#[test]
fn a_mapped_file_becomes_variables() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name).into_os_string().into_string().unwrap();
    let (ring, map) = (path("ring.bin"), path("ring.map"));
    let run =
        |arguments: &[&str]| printed(&finish(example("memmap2").args(arguments).spawn().unwrap()));
    let start = |arguments: &[&str]| Printing::start("memmap2", arguments);
    run(&["old-file", &ring]);
    // The old program, which knows nothing of mapvar, has written a record.
    let mut bytes = std::fs::read(&ring).unwrap();
    bytes[8..16].copy_from_slice(&1_u64.to_le_bytes());
    bytes[16..24].copy_from_slice(&1000.5_f64.to_le_bytes());
    bytes[24..32].copy_from_slice(&20.5_f64.to_le_bytes());
    std::fs::write(&ring, bytes).unwrap();

    let writers = ["21.5", "22.5", "23.5"].map(|value| start(&["write", &ring, value]));
    for writer in writers {
        writer.end();
    }
    let shown = run(&["show", &ring]);
    let mut values: Vec<&str> =
        shown.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
    values.sort_unstable();
    assert_eq!(values, ["20.5", "21.5", "22.5", "23.5"]);
    assert!(shown.starts_with("1000.500 20.5\n"), "{shown}");

    run(&["import", &ring, &map]);
    let follower = start(&["follow", &map, "3"]);
    assert_eq!(follower.line("4 records"), "");
    for writer in ["24.5", "25.5", "26.5"].map(|value| start(&["set", &map, value])) {
        writer.end();
    }
    let mut changes = follower.end();
    changes.sort();
    let mut slots: Vec<&str> =
        changes.iter().filter_map(|it| Some(it.split_once(" = ")?.0)).collect();
    slots.dedup();
    assert_eq!(slots, ["record/04", "record/05", "record/06"]);
    assert_eq!(
        Map::options().file(&map).open().unwrap().atomic::<u64>("count").unwrap().load().unwrap(),
        7
    );
    let mut values: Vec<&str> =
        changes.iter().filter_map(|it| Some(it.split_once(" = ")?.1)).collect();
    values.sort_unstable();
    assert_eq!(values, ["24.5", "25.5", "26.5"]);

    // A file of another kind is refused.
    std::fs::write(&ring, b"RIN").unwrap();
    let refused = finish(example("memmap2").args(["show", &ring]).spawn().unwrap());
    assert!(!refused.status.success() && !refused.stderr.is_empty(), "{refused:?}");
}

#[cfg(feature = "stream")]
#[test]
fn a_task_records_changes() {
    #[derive(serde::Deserialize)]
    struct Line {
        time: f64,
        name: String,
        value: f64,
        skipped: u64,
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl").into_os_string().into_string().unwrap();
    let name = common::unique("recorder");
    let recorder = Printing::start("recorder", &["record", &name, "sensor/", &log]);
    Printing::start("recorder", &["feed", &name, "sensor/", "500"]).end();
    let said = recorder.end();
    let lines: Vec<Line> = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(said, [format!("{} changes recorded", lines.len())]);
    assert!(lines.iter().all(|line| line.name == "sensor/temperature"));
    assert!(lines.is_sorted_by(|one, next| one.time <= next.time && one.value < next.value));
    assert_eq!(lines.last().map(|line| line.value), Some(270.0));
    // The feed created the variable and changed it 500 times.
    let changes: u64 = lines.iter().map(|line| 1 + line.skipped).sum();
    assert_eq!(changes, 501);
}
