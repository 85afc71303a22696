//! The harnesses: the table of their names, and how each is built and run.

use crate::{
    fuzz, languages, machine,
    process::{Done, Stop, cargo, command, read_output, run as run_program, worse},
    repo::{self, harness_manifest, harness_target},
    windows::{self, Bits, Windows, path_in_wine},
    wine10::Wine,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A harness and its name.
#[derive(Debug)]
struct Harness {
    name: &'static str,
    program: Program,
    /// The first argument of the program.
    subcommand: Option<&'static str>,
    run: fn(&Harness, &[String]) -> Done,
    about: &'static str,
}

/// A package of the workspace `harness/` and its profile; its program has the same name.
#[derive(Clone, Copy, Debug)]
struct Program {
    package: &'static str,
    profile: &'static str,
}

/// Optimized, with the engine's assertions.
const CHECKED: &str = "checked";
/// As users build it.
const RELEASE: &str = "release";

const LOOM: Program = Program { package: "mapvar-loom", profile: CHECKED };
const POWER: Program = Program { package: "mapvar-power", profile: CHECKED };
const DISKS: Program = Program { package: "mapvar-disks", profile: CHECKED };
const FUZZ: Program = Program { package: fuzz::PACKAGE, profile: CHECKED };
const EVERY_INSTRUCTION: Program =
    Program { package: "mapvar-every-instruction", profile: RELEASE };
const STRESS: Program = Program { package: "mapvar-stress", profile: RELEASE };
const HISTORIES: Program = Program { package: "mapvar-histories", profile: RELEASE };
const INSTRUCTIONS: Program = Program { package: "mapvar-instructions", profile: RELEASE };
const GEM: Program = Program { package: "mapvar-peers", profile: RELEASE };
/// The codec's assertions are part of this harness.
const MARSHAL: Program = Program { package: "mapvar-peers", profile: CHECKED };
const BRIDGE: Program = Program { package: "mapvar-bridge-harness", profile: RELEASE };
const PROGRAMS: [Program; 11] = [
    LOOM,
    POWER,
    DISKS,
    FUZZ,
    MARSHAL,
    EVERY_INSTRUCTION,
    STRESS,
    HISTORIES,
    INSTRUCTIONS,
    GEM,
    BRIDGE,
];
/// It depends on nothing of the product, so it is built alone.
const SEEDED: Program = Program { package: "mapvar-seeded", profile: RELEASE };
/// The programs that also run under Wine.
const FOR_WINDOWS: [Program; 2] = [STRESS, GEM];

const TABLE: &[Harness] = &[
    Harness {
        name: "loom",
        program: LOOM,
        subcommand: None,
        run: here,
        about: "[--short] [WORD]...: the engine in every order that its orderings allow",
    },
    Harness {
        name: "power",
        program: POWER,
        subcommand: None,
        run: here,
        about: "[N] [--short] [--minutes M] [--seed S] [cuts] [files]: power cuts",
    },
    Harness {
        name: "disks",
        program: DISKS,
        subcommand: None,
        run: disks,
        about: "[N] [--short] [--seed S] [--keep FOLDER] [ext4] [xfs] [btrfs]: power cuts below real file systems; takes root",
    },
    Harness {
        name: "fuzz",
        program: FUZZ,
        subcommand: None,
        run: run_fuzz,
        about: "[MINUTES] [--short] [--seed S] [--one TARGET --seed S] [WORD]...: hostile bytes, loads, failures, peers;\n    \
                --libfuzzer [MINUTES] [WORD]...: the same targets under libFuzzer",
    },
    Harness {
        name: "every-instruction",
        program: EVERY_INSTRUCTION,
        subcommand: None,
        run: every_instruction,
        about: "[--short] [--no-pairs] [--first] [--list] [WORD]...: a death after each machine instruction",
    },
    Harness {
        name: "kill",
        program: STRESS,
        subcommand: Some("kill"),
        run: kill,
        about: "[N] [--recovery] [--native] [--wine] [--short] [--seed S] [--chains C] [--era K] [--large L] [--way W]: killed processes",
    },
    Harness {
        name: "histories",
        program: HISTORIES,
        subcommand: None,
        run: here,
        about: "[N] [--short] [--seed S]: what several processes did has an order",
    },
    Harness {
        name: "instructions",
        program: INSTRUCTIONS,
        subcommand: None,
        run: instructions,
        about: "[--short] [--write]: how many instructions each operation takes, beside the recorded counts",
    },
    Harness {
        name: "soak",
        program: STRESS,
        subcommand: Some("soak"),
        run: here_or_in_wine,
        about: "[MINUTES] [--short] [--seed S] [--processes N] [--wine]: many processes for long",
    },
    Harness {
        name: "waits",
        program: STRESS,
        subcommand: Some("waits"),
        run: here_or_in_wine,
        about: "[--short] [--wine] [locks] [many] [wake]: locks and watches under kills and stops",
    },
    Harness {
        name: "others",
        program: STRESS,
        subcommand: Some("others"),
        run: here_or_in_wine,
        about: "[--short] [--seed S] [--wine]: other users, squatted names; takes root on Linux",
    },
    Harness {
        name: "reuse",
        program: STRESS,
        subcommand: Some("reuse"),
        run: here_or_in_wine,
        about: "[ROUNDS] [--short] [--seed S] [--wine]: process numbers that come back; takes root on Linux",
    },
    Harness {
        name: "many",
        program: STRESS,
        subcommand: Some("many"),
        run: here,
        about: "[N] [--folder FOLDER]: ten million variables in one map",
    },
    Harness {
        name: "full",
        program: STRESS,
        subcommand: Some("full"),
        run: full,
        about: "[--short] [--seed S] [disks] [shorter] [limits] [wine]: full disks, truncation, limits",
    },
    Harness {
        name: "gem",
        program: GEM,
        subcommand: Some("gem"),
        run: gem,
        about: "[--short] [--seconds S]: beside a stand-in of the gem win32-mmap, under Wine too",
    },
    Harness {
        name: "bridge",
        program: BRIDGE,
        subcommand: None,
        run: bridge,
        about: "[--short] [--figures] [--minutes M] [--seed S]: three maps that mirror each other through real servers, under faults",
    },
    Harness {
        name: "marshal",
        program: MARSHAL,
        subcommand: Some("marshal"),
        run: marshal,
        about: "[COUNT] [--short] [--seed S]: beside Ruby's own Marshal",
    },
];

/// Names of legs that are not packages of `harness/`.
type Leg = (&'static str, fn(&[String]) -> Done, &'static str);
const LEGS: &[Leg] = &[
    (
        "c",
        languages::run_c,
        "[linux] [windows] [readme]: the C interface, tested from C; the lines of its README",
    ),
    ("bindings", languages::run_ruby, languages::ABOUT_RUBY),
    ("coverage", crate::coverage::run, "[--lines]: lines and branches that the tests reach"),
];

/// Runs `cargo xtask harness`.
pub(crate) fn run(arguments: &[String]) -> Done {
    let Some((name, rest)) = arguments.split_first() else {
        for Harness { name, about, .. } in TABLE {
            println!("{name} {about}");
        }
        for (name, _, about) in LEGS {
            println!("{name} {about}");
        }
        return Ok(());
    };
    if name == "--build" {
        return build_all();
    }
    if let Some(harness) = TABLE.iter().find(|harness| harness.name == name) {
        return (harness.run)(harness, rest);
    }
    match LEGS.iter().find(|(leg, ..)| leg == name) {
        Some((_, leg, _)) => leg(rest),
        None => Err(Stop::Usage(format!("{name:?} is no harness"))),
    }
}

// --- Building ------------------------------------------------------------------------------------

/// Returns cargo's arguments that build all programs of a profile. One call builds them all, so
/// that cargo builds their dependencies in parallel, and with the same features each time.
fn build_arguments(profile: &str, programs: &[Program]) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["build", "--quiet", "--locked", "--profile", profile].map(String::from).into();
    arguments.extend(["--manifest-path".into(), harness_manifest().to_string_lossy().into_owned()]);
    for program in programs.iter().filter(|program| program.profile == profile) {
        arguments.extend(["--package".into(), program.package.into()]);
    }
    arguments
}

fn build(profile: &str, programs: &[Program]) -> Done {
    run_program(
        cargo().args(build_arguments(profile, programs)).env("CARGO_TARGET_DIR", harness_target()),
    )
}

fn build_all() -> Done {
    build(RELEASE, &PROGRAMS)?;
    build(CHECKED, &PROGRAMS)?;
    fuzz::build_victim().map(|_| ())
}

impl Harness {
    /// Builds the program for this system; returns its command.
    fn program(&self) -> Done<Command> {
        build(self.program.profile, &PROGRAMS)?;
        let mut command =
            command(self.path_in(
                &harness_target().join(self.program.profile),
                std::env::consts::EXE_SUFFIX,
            ));
        command.args(self.subcommand).current_dir(repo::root());
        Ok(command)
    }

    /// Builds the program for Windows; returns its path.
    fn program_for_windows(&self, windows: &Windows) -> Done<PathBuf> {
        let profile = self.program.profile;
        run_program(windows.cargo(&harness_target()).args(build_arguments(profile, &FOR_WINDOWS)))?;
        Ok(self.path_in(&windows.built(&harness_target(), profile), ".exe"))
    }

    fn path_in(&self, folder: &Path, suffix: &str) -> PathBuf {
        folder.join(format!("{}{suffix}", self.program.package))
    }

    fn in_wine(&self) -> Done<Command> {
        let windows = Windows::set_up(&windows::prefix())?;
        let mut wine = windows.wine(self.program_for_windows(&windows)?);
        wine.args(self.subcommand).current_dir(repo::root());
        Ok(wine)
    }
}

// --- Running -------------------------------------------------------------------------------------

fn here(harness: &Harness, arguments: &[String]) -> Done {
    run_program(harness.program()?.args(arguments))
}

/// Runs the program here, or under Wine if there is `--wine`, which the program does not get.
fn here_or_in_wine(harness: &Harness, arguments: &[String]) -> Done {
    let wine = arguments.iter().any(|argument| argument == "--wine");
    let mut program = if wine { harness.in_wine()? } else { harness.program()? };
    run_program(program.args(arguments.iter().filter(|argument| *argument != "--wine")))
}

fn every_instruction(harness: &Harness, arguments: &[String]) -> Done {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        return Err(Stop::Skipped("stepping by instructions takes Linux on x86-64".into()));
    }
    here(harness, arguments)
}

fn instructions(harness: &Harness, arguments: &[String]) -> Done {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        return Err(Stop::Skipped("the recorded counts are of Linux on x86-64".into()));
    }
    machine::need("valgrind", &["valgrind"])?;
    here(harness, arguments)
}

fn marshal(harness: &Harness, arguments: &[String]) -> Done {
    machine::need("ruby", &["ruby"])?;
    here(harness, arguments)
}

/// Runs `bridge` with Debian's servers. A short run has the bridge of the tests, since these builds
/// share its many dependencies; a long one, which measures, has it as users build it.
fn bridge(harness: &Harness, arguments: &[String]) -> Done {
    if cfg!(not(target_os = "linux")) {
        return Err(Stop::Skipped("the servers are Debian's".into()));
    }
    let servers = [nats_server("2.10")?, nats_server("newest")?];
    let mut product = cargo();
    product.args(["build", "--quiet", "--locked", "--bin", "mapvar-bridge"]);
    let folder = if arguments.iter().any(|argument| argument == "--short") {
        product.args(repo::PRODUCT).arg(repo::FEATURES);
        "debug"
    } else {
        product.args(["--release", "--package", "mapvar-bridge"]);
        "release"
    };
    run_program(product.current_dir(repo::root()))?;
    let mut program = harness.program()?;
    program.arg("--bridge").arg(repo::target().join(folder).join("mapvar-bridge"));
    for server in servers {
        program.arg("--server").arg(server);
    }
    run_program(program.args(arguments))
}

/// Returns the path of a server, which is fetched once.
fn nats_server(version: &str) -> Done<PathBuf> {
    let mut fetch = command(repo::root().join("ci/nats"));
    fetch.arg(version).env("CARGO_TARGET_DIR", repo::target());
    let path = read_output(&mut fetch)?;
    Ok(PathBuf::from(path.lines().last().unwrap_or_default()))
}

/// Runs `disks`, which skips what is missing after the attempt to install it.
fn disks(harness: &Harness, arguments: &[String]) -> Done {
    let programs = [
        ("mkfs.ext4", "e2fsprogs"),
        ("mkfs.xfs", "xfsprogs"),
        ("mkfs.btrfs", "btrfs-progs"),
        ("strace", "strace"),
    ];
    for (program, package) in programs {
        match machine::need(program, &[package]) {
            Err(Stop::Interrupted) => return Err(Stop::Interrupted),
            Err(_) => println!("{program}: not here, and {package} could not be installed"),
            Ok(()) => {}
        }
    }
    here(harness, arguments)
}

fn run_fuzz(harness: &Harness, arguments: &[String]) -> Done {
    match arguments.split_first() {
        Some((first, rest)) if first == "--libfuzzer" => fuzz::run_libfuzzer(rest),
        _ => fuzz::run(&mut harness.program()?, arguments),
    }
}

/// Kills N processes natively, and 3 % of N under Wine, where each takes longer.
fn kill(harness: &Harness, arguments: &[String]) -> Done {
    let (mut native, mut wine, mut recovery, mut short) = (true, true, false, false);
    let mut number = None;
    let mut options = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--native" => wine = false,
            "--wine" => native = false,
            "--recovery" => recovery = true,
            "--short" => (short, wine) = (true, false),
            // These options have a value, which must not be read as N.
            "--seed" | "--chains" | "--era" | "--large" | "--keep" => {
                options.push(word);
                options.extend(words.next());
            }
            _ => match word.parse::<u64>() {
                Ok(it) => number = Some(it),
                Err(_) => options.push(word),
            },
        }
    }
    if short {
        let number = number.map(|number: u64| number.to_string());
        return run_program(harness.program()?.arg("--short").args(number).args(options));
    }
    let what = |number: u64| {
        if recovery { format!("--recovery={number}") } else { number.to_string() }
    };
    let number = number.unwrap_or(if recovery { 200 } else { 10_000 });
    let mut done = Ok(());
    if native {
        done = run_program(harness.program()?.arg(what(number)).args(&options));
    }
    if wine && !matches!(done, Err(Stop::Interrupted)) {
        let number = if recovery { number } else { (number * 3 / 100).max(1) };
        let in_wine = harness
            .in_wine()
            .and_then(|mut program| run_program(program.arg(what(number)).args(&options)));
        done = worse(done, in_wine);
    }
    done
}

/// Builds `stress` for this system, and by `cargo` for another width; its program is then at
/// `other`. Runs it with both.
pub(crate) fn run_mixed(cargo: impl FnOnce(&[String]) -> Done, other: &Path) -> Done {
    build(STRESS.profile, &PROGRAMS)?;
    cargo(&build_arguments(STRESS.profile, &[STRESS]))?;
    let program = harness_target().join(STRESS.profile).join(STRESS.package);
    run_program(command(program).args(["mixed", "--other"]).arg(other).current_dir(repo::root()))
}

/// Runs the program for Windows of 64 bits with that of 32 bits.
pub(crate) fn run_mixed_in_wine(wine: &Wine) -> Done {
    let built = [Bits::Of64, Bits::Of32].map(|bits| {
        let arguments = build_arguments(STRESS.profile, &[STRESS]);
        Wine::build(bits, &harness_target(), STRESS.profile, &arguments)
            .map(|folder| folder.join(format!("{}.exe", STRESS.package)))
    });
    let [program, other] = built;
    let mut wine_program = command("wine");
    wine_program.arg(program?).args(["mixed", "--other"]).arg(path_in_wine(&other?));
    wine.run(&wine_program)
}

/// Runs `full`. The small disks under Wine need a prefix whose server no other process uses, since
/// file systems are mounted over its folders.
fn full(harness: &Harness, arguments: &[String]) -> Done {
    let says = |word: &str| arguments.iter().any(|argument| argument == word);
    let some_parts = ["disks", "shorter", "limits"].into_iter().any(says);
    let mut program = harness.program()?;
    if cfg!(target_os = "linux") && (says("wine") || !some_parts) {
        let prefix = repo::target().join("wine-full");
        match Windows::set_up(&prefix) {
            Ok(windows) => {
                let built = harness.program_for_windows(&windows);
                // The processes that created the prefix may still write to it.
                windows.end_server();
                program.arg("--wine").arg(built?);
                program.env("WINEPREFIX", prefix);
            }
            Err(Stop::Skipped(why)) => println!("wine SKIPPED: {why}"),
            Err(stop) => return Err(stop),
        }
    }
    if std::env::var_os("WINEDEBUG").is_none() {
        program.env("WINEDEBUG", "-all");
    }
    run_program(program.args(arguments))
}

fn gem(harness: &Harness, arguments: &[String]) -> Done {
    run_program(harness.program()?.args(arguments))?;
    if cfg!(not(target_os = "linux")) {
        return Ok(());
    }
    // In a prefix of its own, the namespace has no objects of other programs.
    let windows = match Windows::set_up(&repo::target().join("wine-gem")) {
        Ok(windows) => windows,
        Err(Stop::Skipped(why)) => {
            println!("wine SKIPPED: {why}");
            return Ok(());
        }
        Err(stop) => return Err(stop),
    };
    let done = gem_in_wine(harness, &windows, arguments);
    windows.end_server();
    done
}

/// Runs the harness beside a program that makes the gem's calls.
fn gem_in_wine(harness: &Harness, windows: &Windows, arguments: &[String]) -> Done {
    let program = harness.program_for_windows(windows)?;
    let standin = harness_target().join("standin.exe");
    let source = repo::root().join("harness/peers/standin.c");
    run_program(Windows::cc().args(["-O2", "-Wall", "-Wextra", "-o"]).arg(&standin).arg(source))?;
    let mut wine = windows.wine(program);
    wine.args(harness.subcommand).args(arguments).arg("--standin").arg(path_in_wine(&standin));
    run_program(wine.current_dir(repo::root()))
}

/// Runs `cargo xtask seeded`. The sources with planted bugs are built in a folder of their own, so
/// that no other build uses them.
pub(crate) fn run_seeded(arguments: &[String]) -> Done {
    build(SEEDED.profile, &[SEEDED])?;
    let program = harness_target().join(SEEDED.profile).join(format!(
        "{}{}",
        SEEDED.package,
        std::env::consts::EXE_SUFFIX
    ));
    let mut command = command(program);
    command.args(arguments).current_dir(repo::root());
    // By default the scratch tree would use a Wine prefix of its own, which is not set up.
    command.env("WINEPREFIX", windows::prefix());
    run_program(command.env("CARGO_TARGET_DIR", repo::target().join("seeded")))
}

/// Runs `cargo xtask bench`. It measures the command and the C library too, so they are built first,
/// unless it only draws charts or says its plan.
pub(crate) fn run_bench(arguments: &[String]) -> Done {
    if !matches!(arguments, [only] if only == "charts" || only == "--plan") {
        let mut product = cargo();
        product.args(["build", "--release", "--locked", "-p", "mapvar-cli", "-p", "mapvar-c"]);
        run_program(product.current_dir(repo::root()))?;
    }
    let manifest = repo::root().join("bench/Cargo.toml");
    let mut cargo = cargo();
    cargo.args(["run", "--release", "--locked", "--manifest-path"]).arg(manifest).arg("--");
    // The options differ from the product's own; in one folder the two builds would discard each
    // other's results.
    cargo.args(arguments).env("MAPVAR_BUILT", repo::target().join("release"));
    run_program(cargo.env("CARGO_TARGET_DIR", repo::target().join("bench")))
}
