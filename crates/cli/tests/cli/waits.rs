//! `watch`, `wait-for`, `lock`, `locks`, `unlock`, `who`.

use crate::harness::{Folder, Held, command, feed, finish, run, start, unique, wait};
use std::{
    env::consts::FAMILY,
    io::{BufRead, BufReader, Read},
    process::Child,
    sync::mpsc,
    thread,
    time::Duration,
};

/// A running command and the lines that it prints. Killed on drop.
pub(crate) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    pub(crate) fn new<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let mut child = start(&mut command(args));
        let lines = lines_of(child.stdout.take().unwrap());
        Self { child, lines }
    }

    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("a line")
    }

    /// Waits for the end; returns the exit code.
    pub(crate) fn ends(mut self) -> Option<i32> {
        wait(&mut self.child).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe as they come.
fn lines_of(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

/// Waits until the map has this number of participants, without `who` itself.
pub(crate) fn await_participants(map: &str, number: usize) {
    for _ in 0..2_000 {
        if run(["who", map]).ok().lines().count() == number {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("not {number} participants");
}

/// Waits until a line of `locks` contains `state`.
fn await_lock(map: &str, state: &str) {
    for _ in 0..2_000 {
        if run(["locks", map]).ok().contains(state) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("no lock is {state}");
}

#[test]
fn each_change_is_a_line_at_once() {
    let map = &unique("watch");
    let _held = Held::new([map.as_str(), "--var", "foo=1"]);
    let all = Running::new(["watch", map]);
    let one = Running::new(["watch", map, "bar", "--skipped"]);
    let prefix = Running::new(["watch", map, "--prefix", "b"]);
    await_participants(map, 4);
    run(["set", map, "foo", "2"]).ok();
    assert_eq!(all.line(), "foo\tint\t2");
    run(["set", map, "bar", "a\nb"]).ok();
    assert_eq!(all.line(), "bar\tstr\ta\\u{a}b");
    assert_eq!(one.line(), "bar\tstr\t0\ta\\u{a}b");
    assert_eq!(prefix.line(), "bar\tstr\ta\\u{a}b");
    run(["rm", map, "bar"]).ok();
    assert_eq!(all.line(), "bar\tremoved\t");
    assert_eq!(prefix.line(), "bar\tremoved\t");
}

#[test]
fn a_watch_ends_by_itself() {
    let map = &unique("watch-end");
    let _held = Held::new([map.as_str()]);
    let idle = run(["watch", map, "--timeout", "50ms"]);
    assert_eq!((idle.code, idle.out.len()), (Some(29), 0));
    let mut two = Running::new(["watch", map, "--count", "2"]);
    await_participants(map, 2);
    run(["set", map, "a", "1"]).ok();
    assert_eq!(two.line(), "a\tint\t1");
    run(["set", map, "b", "2"]).ok();
    assert_eq!(two.line(), "b\tint\t2");
    assert!(wait(&mut two.child).success());
    run(["watch", "no-such-map-at-all"]).fails(11);
    let error = run(["watch"]).misused();
    assert!(error.contains("--file PATH"), "{error}");
    run(["watch", map, "a", "--prefix", "b"]).misused();
}

#[test]
fn a_command_is_run_for_each_change() {
    let map = &unique("watch-exec");
    let _held = Held::new([map.as_str()]);
    let echo = if FAMILY == "windows" {
        "echo %MAPVAR_VAR%=%MAPVAR_VALUE%"
    } else {
        "echo $MAPVAR_VAR=$MAPVAR_VALUE"
    };
    let exec = Running::new(["watch", map, "--exec", echo, "--count", "1"]);
    await_participants(map, 2);
    run(["set", map, "foo", "77"]).ok();
    assert_eq!(exec.line().trim_end(), "foo=77");
}

#[test]
fn conditions_are_waited_for() {
    let map = &unique("wait-for");
    let _held = Held::new([map.as_str(), "--var", "here=1"]);
    for holds in ["here", "here=1", "here!=2", "!gone", "gone!=1"] {
        run(["wait-for", map, holds]).ok();
    }
    for not in ["!here", "here=2", "here!=1", "gone", "gone=1"] {
        let late = run(["wait-for", map, not, "--timeout", "30ms"]).fails(29);
        assert!(late.contains(not), "{late}");
    }
    let mut waiting = Running::new(["wait-for", map, "foo=hello", "bar=77"]);
    await_participants(map, 2);
    run(["set", map, "foo", "hello"]).ok();
    run(["set", map, "bar", "76"]).ok();
    thread::sleep(Duration::from_millis(50));
    assert!(waiting.child.try_wait().unwrap().is_none());
    run(["set", map, "bar", "77"]).ok();
    assert!(wait(&mut waiting.child).success());
    let error = run(["wait-for"]).misused();
    assert!(error.contains("--file PATH"), "{error}");
}

#[test]
fn a_command_runs_while_it_has_the_lock() {
    let map = &unique("lock");
    let _held = Held::new([map.as_str()]);
    assert_eq!(run(["locks", map]).ok(), "");
    let exe = env!("CARGO_BIN_EXE_mapvar");
    // The command runs until a variable is set.
    let mut first = Running::new(["lock", map, "job", "--", exe, "wait-for", map, "go"]);
    await_lock(map, "\theld\t");
    let late = run(["lock", map, "job", "--timeout", "30ms", "--", exe, "--version"]).fails(29);
    assert!(late.contains(&format!("process {}", first.child.id())), "{late}");
    let locks = run(["locks", map]).ok();
    assert!(locks.starts_with(&format!("job\theld\t{}\t", first.child.id())), "{locks}");
    let who = run(["who", map]).ok();
    assert!(who.contains("holds job"), "{who}");
    let error = run(["unlock", map, "job"]).fails(29);
    assert!(error.contains("--force"), "{error}");
    run(["set", map, "go", "1"]).ok();
    assert!(wait(&mut first.child).success());
    // A name for each job would fill the map.
    assert_eq!(run(["locks", map]).ok(), "");
    // The exit code is that of the command.
    let absent = run(["lock", map, "job", "--", exe, "get", map, "absent"]);
    assert_eq!(absent.code, Some(1), "{absent:?}");
    let nothing = run(["lock", map, "job", "--", "no-such-program-at-all"]);
    assert_eq!(nothing.code, Some(37), "{nothing:?}");
    assert_eq!(run(["unlock", map, "job"]).ok(), "it was free\n");
    run(["lock", map, "job"]).misused();
}

#[test]
fn the_next_owner_learns_of_a_killed_owner() {
    let folder = Folder::new();
    let file = &folder.path("locks.map");
    run(["set", "--file", file, "x", "1"]).ok();
    let exe = env!("CARGO_BIN_EXE_mapvar");
    let mut first = start(&mut command([
        "lock", "--file", file, "job", "--", exe, "wait-for", "--file", file, "go",
    ]));
    // Both run: the owner of the lock, and the command that it has started.
    for _ in 0..2_000 {
        if run(["who", "--file", file]).ok().lines().count() == 2 {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    first.kill().unwrap();
    // The started command owns no lock, and goes on.
    run(["set", "--file", file, "go", "1"]).ok();
    let pid = first.id();
    drop(finish(first));
    let next = run(["lock", "--file", file, "job", "--timeout", "10s", "--", exe, "--version"]);
    assert_eq!(next.code, Some(0), "{next:?}");
    assert!(next.err.contains(&format!("left behind by process {pid}")), "{next:?}");
    let again = run(["lock", "--file", file, "job", "--", exe, "--version"]);
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
}

#[test]
fn a_variable_ends_with_its_command_or_its_holder() {
    let map = &unique("ephemeral");
    let _held = Held::new([map.as_str(), "--var", "foo=1"]);
    let all = Running::new(["watch", map]);
    await_participants(map, 2);
    let holder = Running::new(["hold", map, "--join", "--ephemeral", "door=open"]);
    assert_eq!(all.line(), "door\tstr\topen");
    let who = run(["who", map]).ok();
    assert!(who.lines().any(|line| line.contains("\towns door")), "{who}");
    drop(holder);
    assert_eq!(all.line(), "door\tremoved\t");
    run(["get", map, "door"]).fails(1);
    // A variable that exists while a command runs. The command waits for another variable.
    let this = env!("CARGO_BIN_EXE_mapvar");
    let mut worker = Running::new([
        "hold",
        map,
        "--join",
        "--ephemeral",
        "worker.7=busy",
        "--",
        this,
        "wait-for",
        map,
        "go",
    ]);
    assert_eq!(all.line(), "worker.7\tstr\tbusy");
    run(["get", map, "worker.7"]).ok();
    run(["set", map, "go", "1"]).ok();
    assert!(wait(&mut worker.child).success());
    // One turn of the watch may find both changes, and their order is then that of the variables.
    let mut both = [all.line(), all.line()];
    both.sort();
    assert_eq!(both, ["go\tint\t1", "worker.7\tremoved\t"]);
    assert_eq!(run(["list", map, "--names"]).ok(), "foo\ngo\n");
    let code = run(["hold", map, "--join", "--", this, "get", map, "nothing"]);
    assert_eq!(code.code, Some(1));
    run(["hold", map, "--join", "--", "no-such-program-at-all"]).fails(37);
}

/// A command gets the signals that ask its `lock` or `hold` to end. Before, the command went on, and
/// a service manager that stops the service killed the owner of the lock after a while.
#[cfg(unix)]
#[test]
fn signals_are_passed_on_to_the_command() {
    let map = &unique("signals");
    let _held = Held::new([map.as_str()]);
    let job = "trap 'exit 51' TERM; trap 'exit 52' INT; trap 'exit 53' HUP; echo ready; \
               n=0; while [ $n -lt 400 ]; do n=$((n+1)); sleep 0.05; done";
    for (signal, code) in [("TERM", 51), ("INT", 52), ("HUP", 53)] {
        for command in [&["lock", map, "job"][..], &["hold", map, "--join"]] {
            let mut running = Running::new([command, &["--", "sh", "-c", job]].concat());
            assert_eq!(running.line(), "ready");
            kill(signal, &running.child);
            assert_eq!(wait(&mut running.child).code(), Some(code), "{signal}");
        }
    }
    // A command that ignores the signal keeps the lock until it ends.
    let deaf = "trap '' TERM; echo ready; read line";
    let mut deaf = command(["lock", map, "job", "--", "sh", "-c", deaf]);
    let mut deaf = start(deaf.stdin(std::process::Stdio::piped()));
    let mut line = String::new();
    let _ = BufReader::new(deaf.stdout.as_mut().unwrap()).read_line(&mut line);
    assert_eq!(line, "ready\n");
    kill("TERM", &deaf);
    let late = run(["lock", map, "job", "--timeout", "300ms", "--", "true"]).fails(29);
    assert!(late.contains(&format!("process {}", deaf.id())), "{late}");
    drop(deaf.stdin.take());
    assert_eq!(finish(deaf).code, Some(1));
    run(["lock", map, "job", "--", "true"]).ok();
}

/// `nohup mapvar hold alpha &` outlives its terminal.
#[cfg(target_os = "linux")]
#[test]
fn a_hang_up_that_is_ignored_stays_so() {
    let map = &unique("nohup");
    let this = env!("CARGO_BIN_EXE_mapvar");
    let script = format!("trap '' HUP; exec '{this}' hold '{map}'");
    let mut shell = std::process::Command::new("sh");
    let held = start(shell.args(["-c", &script]).stderr(std::process::Stdio::null()));
    let mut held = Running { child: held, lines: mpsc::channel().1 };
    run(["wait-for", map, "--timeout", "20s"]).ok();
    kill("HUP", &held.child);
    run(["set", map, "foo", "1"]).ok();
    assert!(held.child.try_wait().unwrap().is_none());
    kill("TERM", &held.child);
    assert!(wait(&mut held.child).success());
}

/// `mapvar lock … &` in a script has SIGINT ignored. Before, the command got it with its default, and
/// Ctrl-C ended a command that lives on without mapvar.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_stays_so_for_the_command() {
    let map = &unique("ignored");
    let _held = Held::new([map.as_str()]);
    let this = env!("CARGO_BIN_EXE_mapvar");
    let print = "grep SigIgn /proc/self/status; kill -INT $PPID; kill -TERM $PPID; sleep 0.1";
    for (ignored, bits) in [("INT", 2), ("TERM", 0x4000), ("INT TERM HUP", 0x4003)] {
        for args in [format!("lock '{map}' job"), format!("hold '{map}' --join")] {
            // Those that are not ignored are passed on, and the command ignores them itself.
            let script = format!("trap '' {ignored}; exec '{this}' {args} -- sh -c \"$0\"");
            let passed = format!("trap : INT TERM; {print}; exit 0");
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &script, &passed]).stdin(std::process::Stdio::null());
            shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            let ran = finish(start(&mut shell)).ok();
            let mask = ran.trim().strip_prefix("SigIgn:").expect("a mask").trim();
            let mask = u64::from_str_radix(mask, 16).expect("a number");
            assert_eq!(mask & 0x4003, bits, "{args}, ignored: {ignored}");
        }
    }
}

#[cfg(unix)]
fn kill(signal: &str, child: &Child) {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn a_script_waits_until_a_map_exists() {
    let map = &unique("ready");
    let late = run(["wait-for", map, "--timeout", "50ms"]).fails(29);
    assert!(late.contains(&format!("map {map:?}")) && late.contains("not created"), "{late}");
    let mut waiting = Running::new(["wait-for", map]);
    thread::sleep(Duration::from_millis(100));
    assert!(waiting.child.try_wait().unwrap().is_none());
    // The line of `hold` is read by nobody here.
    let held = start(&mut command(["hold", map, "--var", "foo=1"]));
    let mut held = Running { child: held, lines: mpsc::channel().1 };
    assert!(wait(&mut waiting.child).success());
    run(["list", map]).ok();
    held.child.kill().unwrap();
    held.child.wait().unwrap();
    run(["wait-for", map, "--timeout", "50ms"]).fails(29);
    let folder = Folder::new();
    let file = &folder.path("t.map");
    run(["wait-for", "--file", file, "--timeout", "50ms"]).fails(29);
    run(["set", "--file", file, "foo", "1"]).ok();
    run(["wait-for", "--file", file]).ok();
    // What is there and is no map never becomes one.
    let text = &folder.path("text");
    std::fs::write(text, "no map").unwrap();
    run(["wait-for", "--file", text]).fails(24);
}

#[test]
fn check_and_unlock_wait_for_a_map_too() {
    let folder = Folder::new();
    let file = &folder.path("late.map");
    run(["check", "--file", file, "--wait", "30ms"]).fails(11);
    let mut check = Running::new(["check", "--file", file, "--wait", "20s"]);
    thread::sleep(Duration::from_millis(100));
    assert!(check.child.try_wait().unwrap().is_none());
    // Complete under another name: a check of a file that is being made finds no map in it.
    let whole = &folder.path("whole.map");
    run(["set", "--file", whole, "foo", "1"]).ok();
    std::fs::rename(whole, file).unwrap();
    assert_eq!(check.line(), "1 variable, 0 faults, 0 notes");
    assert_eq!(check.ends(), Some(0));

    let name = &unique("late-gem");
    run(["unlock", name, "--wait", "30ms"]).fails(11);
    let unlock = Running::new(["unlock", name, "--wait", "20s"]);
    let _held = Held::new([name, "--format", "marshal"]);
    assert_eq!(unlock.line(), "its lock was free");
    assert_eq!(unlock.ends(), Some(0));
}

/// A value that no environment can have is left out of the command's; the watch goes on.
#[test]
fn a_large_value_does_not_end_a_watch() {
    let map = &unique("watch-large");
    let _held = Held::new([map.as_str()]);
    let echo = if FAMILY == "windows" {
        "echo %MAPVAR_VAR%=%MAPVAR_VALUE%"
    } else {
        "echo \"$MAPVAR_VAR=${MAPVAR_VALUE-left out}\""
    };
    let mut exec = Running::new(["watch", map, "--exec", echo, "--count", "3"]);
    await_participants(map, 2);
    run(["set", map, "one", "1"]).ok();
    assert_eq!(exec.line().trim_end(), "one=1");
    feed("x".repeat(3 << 20).as_bytes(), ["set", map, "two", "-"]).ok();
    let absent = if FAMILY == "windows" { "two=%MAPVAR_VALUE%" } else { "two=left out" };
    assert_eq!(exec.line().trim_end(), absent);
    run(["set", map, "three", "3"]).ok();
    assert_eq!(exec.line().trim_end(), "three=3");
    let mut said = String::new();
    exec.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(wait(&mut exec.child).success());
    assert!(said.contains("\"two\" has 3145728 bytes") && said.contains("mapvar get"), "{said}");
}

#[test]
fn a_map_of_mapvar_has_no_lock_without_a_name() {
    let map = &unique("unlock");
    let _held = Held::new([map.as_str()]);
    let folder = Folder::new();
    let file = &folder.path("t.map");
    run(["set", "--file", file, "foo", "1"]).ok();
    for args in [&["unlock", map][..], &["unlock", "--file", file], &["unlock", map, "--force"]] {
        let error = run(args).fails(19);
        assert!(error.contains("locks with names") && error.contains("mapvar locks"), "{error}");
    }
    run(["unlock", &format!("{map}.x")]).fails(11);
    let error = run(["unlock"]).misused();
    assert!(error.contains("--file PATH"), "{error}");
}

/// `mv new live` while another process watches: it would wait for ever for a file that nobody can
/// find.
#[cfg(unix)]
#[test]
fn a_file_that_was_replaced_ends_its_watch() {
    let folder = Folder::new();
    let (live, new) = (&folder.path("live.map"), &folder.path("new.map"));
    run(["set", "--file", live, "foo", "1"]).ok();
    run(["set", "--file", new, "foo", "2"]).ok();
    let mut watch = Running::new(["watch", "--file", live, "foo"]);
    // A change that arrives shows that the watch has begun.
    while watch.lines.recv_timeout(Duration::from_millis(100)).is_err() {
        run(["set", "--file", live, "foo", "3"]).ok();
    }
    std::fs::rename(new, live).expect("rename");
    assert_eq!(wait(&mut watch.child).code(), Some(23));
    assert_eq!(run(["get", "--file", live, "foo"]).ok(), "2\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_was_unlinked_by_hand_ends_hold() {
    let name = unique("unlinked");
    let mut held = Held::new([name.as_str()]);
    let shm = std::fs::read_dir("/dev/shm").expect("the folder of names");
    let ours = shm.map(|entry| entry.expect("an entry").path());
    for path in ours.filter(|path| path.to_string_lossy().contains(&name)) {
        std::fs::remove_file(path).expect("remove");
    }
    assert_eq!(wait(&mut held.child).code(), Some(23));
}

/// Two jobs of one lock ran at once, each with code 0, if its file was replaced meanwhile.
#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_during_a_command_is_reported_at_once() {
    let folder = Folder::new();
    let (live, new) = (&folder.path("live.map"), &folder.path("new.map"));
    // The command's own code says more than that of the fault.
    for (end, code) in [("", 23), ("; exit 7", 7)] {
        let _ = std::fs::remove_file(live);
        run(["set", "--file", live, "foo", "1"]).ok();
        run(["copy", "--file", live, "--into", new]).ok();
        let job = format!("echo ready; read line{end}; exit 0");
        let mut first = command(["lock", "--file", live, "job", "--", "sh", "-c", &job]);
        let mut first = start(first.stdin(std::process::Stdio::piped()));
        let mut line = String::new();
        let mut out = BufReader::new(first.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        std::fs::rename(new, live).expect("rename");
        // It is said while the command runs: the command ends only after that.
        let said = lines_of(first.stderr.take().unwrap());
        let line = said.recv_timeout(Duration::from_secs(20));
        if line.is_err() {
            drop(first.stdin.take());
        }
        let line = line.expect("a line");
        assert!(line.contains("live.map") && line.contains("replaced"), "{line}");
        assert!(first.try_wait().unwrap().is_none());
        drop(first.stdin.take());
        assert_eq!(wait(&mut first).code(), Some(code));
        assert_eq!(said.iter().next(), None, "it is said once");
    }
    // A command that ends before the first check: the last check finds it.
    run(["copy", "--file", live, "--into", new]).ok();
    let quick = run(["lock", "--file", live, "job", "--", "mv", new, live]).fails(23);
    assert!(quick.contains("replaced"), "{quick}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_unlinked_during_a_command_is_reported() {
    for (end, code) in [("0", 23), ("7", 7)] {
        for how in ["lock", "hold"] {
            let name = &unique("unlinked-during");
            let held = (how == "lock").then(|| Held::new([name.as_str()]));
            let job = format!("rm /dev/shm/*{name}*; exit {end}");
            let words: &[&str] =
                if how == "lock" { &["lock", name, "job"] } else { &["hold", name] };
            let said = run([words, &["--", "sh", "-c", &job]].concat()).fails(code);
            assert!(said.contains(name.as_str()) && said.contains("removed"), "{said}");
            drop(held);
        }
    }
}

/// A lock that was taken away by force protected nothing for a part of the command's time.
#[test]
fn a_lock_that_is_taken_away_during_a_command_is_reported() {
    let map = &unique("forced");
    let _held = Held::new([map.as_str()]);
    let this = env!("CARGO_BIN_EXE_mapvar");
    let forced = run(["lock", map, "job", "--", this, "unlock", map, "job", "--force"]);
    assert_eq!(forced.code, Some(32), "{forced:?}");
    assert!(forced.err.contains("taken away by force"), "{forced:?}");
}
