//! The interfaces for other languages, tested from those languages: C on Linux and under Wine, and
//! the Ruby gem.

use crate::{
    machine,
    process::{
        Done, Scratch, Stop, cargo, command, failed, read_output, run as run_program, run_within,
        succeeds, worse,
    },
    repo::{self, FEATURES, PRODUCT},
    windows::{self, Windows, path_in_wine},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const C_FLAGS: [&str; 7] = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// The C programs that test themselves.
const C_TESTS: [&str; 8] =
    ["interface", "shortcuts", "files", "gem", "waits", "until", "threads", "loading"];
/// The variable that names the program in Rust whose struct the C tests read.
const STRUCTS: &str = "MAPVAR_STRUCTS";

fn capi(path: &str) -> PathBuf {
    repo::root().join("crates/capi").join(path)
}

fn built(file: &str) -> PathBuf {
    repo::target().join("debug").join(file)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Builds the library, the command and the examples, with the features that the Rust tests enable
/// in their dependencies. A smaller choice of packages and targets would make cargo build all of
/// them again.
fn build(mut cargo: Command) -> Done {
    cargo.args(["build", "--quiet", "--lib", "--bins", "--examples", FEATURES]).args(PRODUCT);
    run_program(cargo.current_dir(repo::root()))
}

// --- C -------------------------------------------------------------------------------------------

/// Runs `cargo xtask harness c`.
pub(crate) fn run_c(arguments: &[String]) -> Done {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => match c_on_linux() {
            Err(Stop::Interrupted) => Err(Stop::Interrupted),
            done => worse(done, c_in_wine()),
        },
        ["linux"] => c_on_linux(),
        ["windows"] => c_in_wine(),
        ["readme"] => c_readme(),
        _ => Err(Stop::Usage("c: say linux, windows, readme or nothing".into())),
    }
}

/// Compiles and links with the committed header, and warnings as errors. `rest` follows the source.
fn compile(mut cc: Command, source: &Path, to: &Path, rest: &[&str]) -> Done {
    cc.args(C_FLAGS).arg("-I").arg(capi("include")).arg(source).arg("-o").arg(to);
    run_program(cc.args(rest))
}

/// Returns the names and sources of the test programs and of the example.
fn c_programs() -> Done<Vec<(String, PathBuf)>> {
    let folder = capi("tests/c");
    let mut programs = vec![("hello".to_owned(), capi("examples/hello.c"))];
    for entry in fs::read_dir(&folder).map_err(failed(folder.display()))? {
        let path = entry.map_err(failed(folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "c")
            && let Some(stem) = path.file_stem()
        {
            programs.push((stem.to_string_lossy().into_owned(), path));
        }
    }
    Ok(programs)
}

fn c_on_linux() -> Done {
    if cfg!(not(target_os = "linux")) {
        return Err(Stop::Skipped("this leg links as Linux does".into()));
    }
    machine::need("cc", &["gcc", "libc6-dev"])?;
    let out = repo::target().join("c-tests/linux");
    fs::create_dir_all(&out).map_err(failed(out.display()))?;
    build(cargo())?;
    // The shared library gets the name under which programs load it.
    let library = out.join("libmapvar.so.0");
    fs::copy(built("libmapvar.so"), &library).map_err(failed(library.display()))?;
    let cc = || {
        let mut cc = command("cc");
        cc.arg("-D_GNU_SOURCE");
        cc
    };
    let rpath = format!("-Wl,-rpath,{}", out.display());
    let shared = library.to_string_lossy();
    for (name, source) in c_programs()? {
        // As needed: one program loads the library by itself.
        let rest = ["-Wl,--as-needed", &shared, &rpath, "-pthread"];
        compile(cc(), &source, &out.join(name), &rest)?;
    }
    let library = built("libmapvar.a");
    let fixed = [&*library.to_string_lossy(), "-pthread", "-ldl", "-lm"];
    compile(cc(), &capi("tests/c/interface.c"), &out.join("interface-static"), &fixed)?;
    // The header is valid C++, too.
    if machine::has("c++") {
        let source = out.join("header.cpp");
        fs::write(&source, "#include <mapvar.h>\n").map_err(failed(source.display()))?;
        let mut cxx = command("c++");
        cxx.args(["-fsyntax-only", "-Wall", "-Werror", "-I"]).arg(capi("include"));
        run_program(cxx.arg(source))?;
    }
    for name in C_TESTS.into_iter().chain(["interface-static"]) {
        let mut test = command(out.join(name));
        test.env(STRUCTS, built("examples/structs"));
        run_within(test.current_dir(&out), seconds(60))?;
    }
    expect_hello(&mut command(out.join("hello")))?;
    let rust = built("examples/shapes");
    exchange_shapes(&out, &|| command(&rust), &|| command(out.join("shapes")))?;
    machine::need("valgrind", &["valgrind"])?;
    for name in C_TESTS {
        let mut valgrind = command("valgrind");
        valgrind.args(["-q", "--error-exitcode=9", "--leak-check=full"]);
        valgrind.args(["--show-leak-kinds=definite,possible"]);
        valgrind.args(["--errors-for-leak-kinds=definite,possible", &suppressions()]);
        run_within(valgrind.arg(out.join(name)).current_dir(&out), seconds(300))?;
    }
    Ok(())
}

fn suppressions() -> String {
    format!("--suppressions={}", repo::root().join("ci/valgrind.supp").display())
}

/// Rust sets the shapes of its table, C shows them as the table says and sets copies, which Rust reads
/// by its types. `rust` and `c` are the programs `shapes` of the two languages.
fn exchange_shapes(out: &Path, rust: &dyn Fn() -> Command, c: &dyn Fn() -> Command) -> Done {
    const FILE: &str = "shapes.map";
    // Of an earlier run.
    let _ = fs::remove_file(out.join(FILE));
    let lines = |text: String| {
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.sort();
        lines
    };
    run_within(rust().args(["write", FILE]).current_dir(out), seconds(60))?;
    let wanted = lines(read_output(rust().arg("table"))?);
    let found = lines(read_output(c().arg(FILE).current_dir(out))?);
    if found.len() < 30 || found != wanted {
        return Err(Stop::Failed(format!("C shows {found:?}, and the table has {wanted:?}")));
    }
    run_within(rust().args(["read", FILE]).current_dir(out), seconds(60))?;
    fs::remove_file(out.join(FILE)).map_err(failed(FILE))
}

fn expect_hello(hello: &mut Command) -> Done {
    let said = read_output(hello)?;
    if said.trim_end() == "hello 77" {
        Ok(())
    } else {
        Err(Stop::Failed(format!("hello prints {said:?} and not hello 77")))
    }
}

fn c_in_wine() -> Done {
    let windows = Windows::set_up(&windows::prefix())?;
    let out = repo::target().join("c-tests/windows");
    fs::create_dir_all(&out).map_err(failed(out.display()))?;
    build(windows.cargo(repo::target()))?;
    let built = windows.built(repo::target(), "debug");
    // A program loads its DLL from its own folder.
    fs::copy(built.join("mapvar.dll"), out.join("mapvar.dll")).map_err(failed("mapvar.dll"))?;
    let library = built.join("libmapvar.dll.a");
    for (name, source) in c_programs()? {
        let mut cc = Windows::cc();
        cc.arg("-D__USE_MINGW_ANSI_STDIO=1");
        compile(cc, &source, &out.join(name + ".exe"), &[&library.to_string_lossy()])?;
    }
    for name in C_TESTS {
        let mut test = windows.wine(format!("{name}.exe"));
        test.env(STRUCTS, path_in_wine(&built.join("examples/structs.exe")));
        run_within(test.current_dir(&out), seconds(120))?;
    }
    expect_hello(windows.wine("hello.exe").current_dir(&out))?;
    let rust = built.join("examples/shapes.exe").to_string_lossy().into_owned();
    exchange_shapes(&out, &|| windows.wine(&rust), &|| {
        let mut c = windows.wine("shapes.exe");
        c.current_dir(&out);
        c
    })
}

/// Runs the shell blocks of the C interface's README as a user types them, but below a scratch
/// folder in place of `/usr/local` and `/tmp`.
fn c_readme() -> Done {
    if cfg!(not(target_os = "linux")) {
        return Err(Stop::Skipped("these lines are for Linux".into()));
    }
    for (program, package) in
        [("cc", "gcc"), ("pkg-config", "pkg-config"), ("unzip", "unzip"), ("zip", "zip")]
    {
        machine::need(program, &[package])?;
    }
    Windows::set_up(&windows::prefix())?;
    let readme = capi("README.md");
    let text = fs::read_to_string(&readme).map_err(failed(readme.display()))?;
    let mut hellos = 0;
    for block in text.split("```sh\n").skip(1) {
        let scratch = Scratch::below(repo::target())?;
        let folder = scratch.path();
        let source = folder.join("hello.c");
        fs::copy(capi("examples/hello.c"), &source).map_err(failed(source.display()))?;
        let prefix = folder.join("usr");
        for line in block.lines().take_while(|line| *line != "```") {
            let line = line.split("  #").next().unwrap_or_default().trim_end();
            let line = line.replace("/usr/local", &prefix.to_string_lossy());
            let line = line.replace("/tmp", &folder.to_string_lossy());
            // The variables below stand for it, since it would change the machine.
            if line == "ldconfig" {
                continue;
            }
            let shell = || {
                let mut shell = command("sh");
                shell.args(["-ec", &line]).current_dir(folder);
                shell.env("WINEPREFIX", windows::prefix()).env("WINEDEBUG", "-all");
                shell.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
                shell.env("LD_LIBRARY_PATH", prefix.join("lib"));
                shell
            };
            println!("$ {line}");
            if line == "./hello" || line.starts_with("wine ") {
                expect_hello(&mut shell())?;
                hellos += 1;
            } else if line.starts_with("cargo ") {
                run_program(shell().current_dir(repo::root()))?;
            } else {
                run_program(&mut shell())?;
            }
        }
    }
    if hellos == 2 {
        Ok(())
    } else {
        Err(Stop::Failed(format!("{} runs {hellos} programs and not 2", readme.display())))
    }
}

// --- Ruby ----------------------------------------------------------------------------------------

pub(crate) const ABOUT_RUBY: &str = "[--short]: the Ruby gem: its tests, with programs in C and Rust on the same maps;
    all of it once more with a collection of garbage at each allocation; under memcheck; installed; on a Ruby for Windows.
    stress, memcheck, install or windows: that leg alone";

/// Runs `cargo xtask harness bindings`.
pub(crate) fn run_ruby(arguments: &[String]) -> Done {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => {
            prepare_ruby()?;
            suite(seconds(300))?;
            stress()?;
            let mut done = Ok(());
            for leg in [memcheck, install, ruby_in_wine] {
                match leg() {
                    Err(Stop::Skipped(why)) => done = worse(done, Err(Stop::Skipped(why))),
                    other => other?,
                }
            }
            done
        }
        ["--short"] => {
            prepare_ruby()?;
            suite(seconds(120))
        }
        ["stress"] => {
            prepare_ruby()?;
            stress()
        }
        ["memcheck"] => {
            prepare_ruby()?;
            memcheck()
        }
        ["install"] => {
            need_ruby()?;
            install()
        }
        ["windows"] => ruby_in_wine(),
        _ => Err(Stop::Usage(format!("bindings {ABOUT_RUBY}"))),
    }
}

fn gem(path: &str) -> PathBuf {
    repo::root().join("bindings/ruby").join(path)
}

/// Installs Ruby, FFI and test-unit from Debian's packages if they are missing.
fn need_ruby() -> Done {
    let has = || succeeds(command("ruby").args(["-e", "gem 'test-unit'; require 'ffi'"]));
    if !has() {
        machine::install(&["ruby", "ruby-ffi", "ruby-test-unit", "rake"])?;
    }
    if !has() {
        return Err(Stop::Skipped("there is no Ruby with ffi and test-unit".into()));
    }
    run_program(command("ruby").arg("--version"))
}

/// Builds the library, and the programs that the tests start beside Ruby.
fn prepare_ruby() -> Done {
    need_ruby()?;
    build(cargo())?;
    machine::need("cc", &["gcc", "libc6-dev"])?;
    let library = built("libmapvar.a");
    let rest = [&*library.to_string_lossy(), "-pthread", "-ldl", "-lm"];
    compile(command("cc"), &gem("test/peers/peer.c"), &built("peer-c"), &rest)
}

fn ruby_tests() -> Done<Vec<PathBuf>> {
    let folder = gem("test");
    let mut tests = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed(folder.display()))? {
        let path = entry.map_err(failed(folder.display()))?.path();
        if path.to_string_lossy().ends_with("_test.rb") {
            tests.push(path);
        }
    }
    tests.sort();
    Ok(tests)
}

fn ruby() -> Command {
    let mut ruby = command("ruby");
    ruby.arg("-w").env("MAPVAR_LIB", built("libmapvar.so"));
    ruby
}

fn suite(limit: Duration) -> Done {
    for test in ruby_tests()? {
        // The variable makes the test of many processes fail if the C and Rust programs are
        // missing.
        run_within(ruby().arg(test).env("MAPVAR_TEST_PEERS", "1"), limit)?;
    }
    Ok(())
}

/// Tests of timing or of many threads, which a slow Ruby does not finish.
const TOO_SLOW: &str = "--ignore-name=/garbage|threads|add_together|grows|ractors|walk_while/";

fn stress() -> Done {
    for test in ["defects", "map", "library"] {
        let mut ruby = ruby();
        ruby.arg(gem(&format!("test/{test}_test.rb"))).arg(TOO_SLOW);
        ruby.env("MAPVAR_GC_STRESS", "1").env("MAPVAR_TEST_LIMIT", "900");
        run_within(&mut ruby, seconds(1800))?;
    }
    Ok(())
}

/// Reads 64 bytes where there are 16.
const A_FAULT: &str = r#"
    require "mapvar"
    bytes = FFI::MemoryPointer.new(16).put_bytes(0, "\x04\x08\"A")
    Mapvar.const_get(:Library).mapvar_value_from_marshal(bytes, 64, FFI::MemoryPointer.new(:pointer))"#;

fn memcheck() -> Done {
    machine::need("valgrind", &["valgrind"])?;
    let folder = Scratch::below(&std::env::temp_dir())?;
    let log = folder.path().join("log");
    let watched = |what: &[&str]| -> Done<Vec<String>> {
        let mut valgrind = command("valgrind");
        valgrind.args(["--error-limit=no", &suppressions(), "--num-callers=40"]);
        valgrind.arg("--child-silent-after-fork=yes");
        valgrind.arg(format!("--log-file={}", log.display())).args(["ruby", "-w"]).args(what);
        valgrind.env("MAPVAR_LIB", built("libmapvar.so")).env("MAPVAR_TEST_LIMIT", "900");
        run_within(&mut valgrind, seconds(1200))?;
        let report = fs::read(&log).map_err(failed(log.display()))?;
        let report = String::from_utf8_lossy(&report);
        if report.contains("ERROR SUMMARY") {
            Ok(errors_of_ours(&report))
        } else {
            Err(Stop::Failed("valgrind wrote no summary".into()))
        }
    };
    // First it must detect a planted error.
    let library = gem("lib");
    let errors = watched(&["-I", &library.to_string_lossy(), "-e", A_FAULT])?;
    if !errors.iter().any(|error| error.contains("Invalid read")) {
        return Err(Stop::Failed("memcheck does not see a fault that is there".into()));
    }
    for test in ["map", "values", "library", "defects"] {
        let test = gem(&format!("test/{test}_test.rb"));
        let errors = watched(&[&test.to_string_lossy(), TOO_SLOW])?;
        if !errors.is_empty() {
            return Err(Stop::Failed(format!(
                "memcheck, {}:\n{}",
                test.display(),
                errors.join("\n\n")
            )));
        }
    }
    println!("memcheck: no error in a call into the library");
    Ok(())
}

/// Returns the errors of a valgrind log that did not arise within Ruby and have a frame of the
/// library or of FFI. Ruby's collector reads stacks and pages conservatively, which memcheck
/// reports as errors in Ruby.
fn errors_of_ours(log: &str) -> Vec<String> {
    let mut records = vec![String::new()];
    for line in log.lines() {
        let text = line.trim_start_matches('=');
        let text = text.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches('=');
        match records.last_mut() {
            Some(record) if !text.trim().is_empty() => {
                record.push_str(line);
                record.push('\n');
            }
            _ => records.push(String::new()),
        }
    }
    records.retain(|record| {
        let arose = record.lines().find(|line| line.contains("==    at "));
        arose.is_some_and(|line| !line.contains("libruby"))
            && (["libmapvar", "libffi", "ffi_c"].iter().any(|name| record.contains(name))
                || has_line_of_rust(record))
    });
    records
}

fn has_line_of_rust(text: &str) -> bool {
    text.split(".rs:").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Builds the gem, installs it into an empty folder, and uses it from there.
fn install() -> Done {
    let folder = Scratch::below(&std::env::temp_dir())?;
    let gems = folder.path().join("gems");
    run_program(command("rake").arg("install").current_dir(gem("")).env("GEM_HOME", &gems))?;
    let mut ruby = command("ruby");
    ruby.args(["-e", USE_INSTALLED]).current_dir(folder.path());
    run_within(ruby.env_remove("MAPVAR_LIB").env("GEM_HOME", &gems), seconds(60))
}

const USE_INSTALLED: &str = r#"
    require "win32/mmap"
    map = Win32::MMap.new(name: "installed-#{Process.pid}", size: 100)
    map.foo = "hello"
    read = IO.popen([RbConfig.ruby, "-e", "require %q(win32/mmap); p Win32::MMap.open(ARGV[0]).foo", map.name], &:read)
    abort "read #{read}" unless read == "\"hello\"\n"
    maps = File.read("/proc/self/maps")
    abort "another library" unless maps.include?(File.join(ENV["GEM_HOME"], "gems"))
    puts "installed, and used from there""#;

fn ruby_in_wine() -> Done {
    let windows = Windows::set_up(&windows::prefix())?;
    // The last line of the output is the path of ruby.exe.
    let output = read_output(&mut command(repo::root().join("ci/windows-ruby")))?;
    let exe = output.lines().last().unwrap_or_default().to_owned();
    build(windows.cargo(repo::target()))?;
    let built = windows.built(repo::target(), "debug");
    let library = built.join("libmapvar.dll.a");
    let peer = built.join("peer-c.exe");
    compile(Windows::cc(), &gem("test/peers/peer.c"), &peer, &[&library.to_string_lossy()])?;
    for test in ruby_tests()? {
        let mut ruby = windows.wine(&exe);
        // RubyGems works, but adds two seconds to each start under Wine.
        ruby.arg(test).env("RUBYOPT", "--disable-gems -rrbconfig").env("MAPVAR_TEST_PEERS", "1");
        ruby.env("MAPVAR_LIB", path_in_wine(&built.join("mapvar.dll")));
        run_within(&mut ruby, seconds(300))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_within_ruby_are_not_ours() {
        let log = "==7== Memcheck\n==7== \n\
            ==7== Invalid read of size 8\n==7==    at 0x1: mark (libruby-3.1.so)\n==7==    by 0x2: call (ffi_c.so)\n==7== \n\
            ==7== Invalid read of size 1\n==7==    at 0x1: read (codec.rs:77)\n==7==    by 0x2: x (libruby-3.1.so)\n==7== \n\
            ==7== Invalid read of size 4\n==7==    at 0x1: read (other.c:77)\n==7== \n\
            ==7== HEAP SUMMARY:\n==7==     in use at exit: 0 bytes; codec.rs:1\n==7== \n\
            ==7== ERROR SUMMARY: 3 errors";
        let errors = errors_of_ours(log);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("codec.rs:77"));
    }
}
