//! The command line: subcommands, arguments and help texts.

use crate::parse::{self, Type};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint, error::ErrorKind};
use std::{path::PathBuf, time::Duration};

const EXAMPLES: &str = "\
Examples:
  mapvar set --file t.map foo hello      a variable in a file, which is created if it is absent
  mapvar get --file t.map foo
  mapvar list --file t.map

  mapvar hold alpha --size 64KiB &       a map without a file, known by its name
  mapvar set alpha bar 77                from any other process
  mapvar get alpha bar
  mapvar stat alpha

  mapvar watch alpha                     a line for each change, until Ctrl-C
  mapvar wait-for alpha bar=77 && echo it is
  mapvar lock alpha backup -- cp -r a b  one at a time

Exit codes: 0 done; 1 a variable is absent, or check found faults, or repair or copy could not
save all; 2 wrong usage; 3 done, and opening the file recovered it with losses; 11 and up another error, a code for each kind: 11 no such map, 15 the map is
full, 24 not a map.";

/// Shows and sets variables that processes share, in memory-mapped files and named shared memory
#[derive(Parser, Debug)]
#[command(name = "mapvar", bin_name = "mapvar", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Set(Set),
    Get(Get),
    List(List),
    Rm(Rm),
    Stat(Stat),
    Check(Check),
    Repair(Repair),
    Copy(Copy),
    Hold(Hold),
    Watch(Watch),
    WaitFor(WaitFor),
    Lock(Lock),
    Locks(Locks),
    Unlock(Unlock),
    Who(Who),
    Bridge(Bridge),
    /// Demonstrates two processes that exchange variables, by a name and through a file
    Demo,
    #[command(hide = true)]
    DemoPeer(DemoPeer),
}

/// The map, and how long to wait for other processes.
#[derive(Args, Debug)]
pub(crate) struct MapArgs {
    #[command(flatten)]
    at: At,

    /// How long to wait for another process, as 5s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse::duration)]
    pub(crate) timeout: Duration,
}

impl std::ops::Deref for MapArgs {
    type Target = At;

    fn deref(&self) -> &At {
        &self.at
    }
}

/// The map.
#[derive(Args, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct At {
    /// Use the map in this file, instead of NAME
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// NAME belongs to the whole machine, as the names of services do, not to this session
    #[arg(long, conflicts_with = "file")]
    pub(crate) global: bool,

    /// Use a file on a network drive or on FUSE, where other views of it do not see the changes
    #[arg(long, requires = "file")]
    pub(crate) allow_network: bool,

    /// Write to a copy of a file although changes that no flush contains are lost
    #[arg(long, requires = "file")]
    pub(crate) accept_loss: bool,

    /// Write to a file that was used by another mount: no process uses it there any more
    #[arg(long, requires = "file")]
    pub(crate) take_over: bool,

    /// How long to wait for the map if it does not exist yet, as 5s or 500ms [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) wait: Option<Duration>,

    /// Layout of the variables; detected unless given. `marshal` is the layout of Ruby's gem
    /// win32-mmap
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<Format>,
}

/// The layout of the variables in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The layout of mapvar
    Store,
    /// The layout of Ruby's gem win32-mmap
    Marshal,
}

impl From<Format> for mapvar::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Store => Self::Store,
            Format::Marshal => Self::Marshal,
        }
    }
}

/// Sets a variable; creates it, and with --file the map, if it does not exist
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar set [OPTIONS] NAME VAR VALUE\n       \
                      mapvar set [OPTIONS] --file PATH VAR VALUE",
    after_help = "Examples:\n  \
        mapvar set alpha bar 77                an integer, unless bar is a float or text\n  \
        mapvar set alpha zip 77 --type str     text\n  \
        mapvar set --file t.map --size 1MiB foo hello\n  \
        mapvar set alpha key --type bytes 0x00ff\n  \
        mapvar set alpha car.rpm 900           a field of the struct \"car\"\n  \
        mapvar set alpha car --type json '{\"rpm\": 800.0, \"gear\": null}'\n  \
        mapvar set alpha car '{\"rpm\": 900, \"gear\": 1}'     car is a dict already\n  \
        date | mapvar set alpha now -          text from standard input\n\n\
        A variable keeps its kind: 5 stays a float where a float was, and a VALUE that cannot have \
        the\nkind is an error. A list or dict is set with JSON, or with what `get` prints of one; \
        within it,\na whole number becomes a float where a float was, and \"0x00ff\" bytes where \
        bytes were.\n--type sets a value of another kind.\n\n\
        A variable that is new or nil gets the kind that VALUE looks like: -77 is an int, true a \
        bool,\n1.5 and 2e9 are floats, all else is text. A number that would be printed with other \
        digits, such\nas 1.10 or 007, is text."
)]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// NAME of the map (omitted with --file), VAR, and VALUE. The VALUE `-` stands for standard
    /// input: its text without the last newline, or with --bytes, or where the variable has bytes,
    /// all of it
    #[arg(value_name = "NAME VAR VALUE", required = true, allow_negative_numbers = true)]
    words: Vec<String>,

    /// Type of VALUE. Unless given, the variable keeps its kind
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    as_type: Option<Type>,

    /// The same as --type bytes
    #[arg(long, conflicts_with = "as_type")]
    bytes: bool,

    /// Bytes of values that a new file's map is made for, as 64KiB or 1MB [default: 64KiB]. The map
    /// takes 64 KiB and grows; --max-size is raised to what these need
    #[arg(long, value_parser = parse::size, requires = "file")]
    pub(crate) size: Option<u64>,

    /// Bytes that a new file's map may grow to [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse::size, requires = "file")]
    pub(crate) max_size: Option<u64>,
}

impl Set {
    pub(crate) fn as_type(&self) -> Option<Type> {
        if self.bytes { Some(Type::Bytes) } else { self.as_type }
    }

    /// Returns map, variable and value. A nil needs no value.
    pub(crate) fn words(&self) -> Result<(Option<&str>, &str, &str), clap::Error> {
        let (map, words) = self.place.split(&self.words);
        match words {
            [var, value] => Ok((map, var, value)),
            [var] if self.as_type == Some(Type::Nil) => Ok((map, var, "nil")),
            _ => Err(miscounted("set", map, "VAR VALUE", words)),
        }
    }
}

/// Prints the values of variables, one per line
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar get [OPTIONS] NAME VAR...\n       \
                      mapvar get [OPTIONS] --file PATH VAR...",
    after_help = "Bytes are printed as hexadecimal digits, lists, dictionaries and structs similar \
                  to JSON.\nVAR.FIELD is a field of a struct, as car.rpm or car.wheels.2.speed, \
                  unless a variable has that name.\nOn a terminal, control characters are shown as \
                  \\u{..}."
)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// NAME of the map (omitted with --file), and one VAR or more
    #[arg(value_name = "NAME VAR", required = true)]
    words: Vec<String>,

    /// Print the kind of the value instead
    #[arg(long, conflicts_with = "raw")]
    pub(crate) kind: bool,

    /// Print text and bytes exactly as they are, without a newline
    #[arg(long)]
    pub(crate) raw: bool,
}

impl Get {
    pub(crate) fn words(&self) -> Result<(Option<&str>, &[String]), clap::Error> {
        self.place.split_some("get", &self.words)
    }
}

/// Lists variables, sorted by name
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar list [OPTIONS] NAME\n       mapvar list [OPTIONS] --file PATH",
    after_help = "Each line is a variable: name, kind and value. On a terminal, columns are cut to \
                  its width;\nin a pipe they are complete, separated by tabs. Control characters \
                  are shown as \\u{..};\n`get` prints them raw."
)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,

    /// Print only the names
    #[arg(long)]
    pub(crate) names: bool,

    /// List only variables whose names begin so
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) prefix: String,
}

/// Removes variables
#[derive(Args, Debug)]
#[command(override_usage = "mapvar rm [OPTIONS] NAME VAR...\n       \
                      mapvar rm [OPTIONS] --file PATH VAR...")]
pub(crate) struct Rm {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// NAME of the map (omitted with --file), and one VAR or more
    #[arg(value_name = "NAME VAR", required = true)]
    words: Vec<String>,
}

impl Rm {
    pub(crate) fn words(&self) -> Result<(Option<&str>, &[String]), clap::Error> {
        self.place.split_some("rm", &self.words)
    }
}

/// Prints facts about a map, one per line, such as its size, free space and creator
#[derive(Args, Debug)]
#[command(override_usage = "mapvar stat [OPTIONS] NAME\n       mapvar stat [OPTIONS] --file PATH")]
pub(crate) struct Stat {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,
}

/// Checks whether a map is whole, and reports its damage; writes nothing
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar check [OPTIONS] NAME\n       mapvar check [OPTIONS] --file PATH",
    after_help = "Examples:\n  \
        mapvar check alpha                     other processes may go on using it\n  \
        mapvar check --file t.map              also if `get` and `list` refuse it\n\n\
        Each line is a finding: a fault, or a harmless note. The last line has the counts.\n\
        Exit code 0: the map is whole, with or without notes; 1: there are faults. `repair` \
        saves\nthe variables that are whole."
)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,
}

/// Saves the variables of a damaged file that are whole into a new file
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        mapvar repair --file damaged.map --into new.map\n\n\
        The damaged file is only read. Each line is a loss, and where the damage is. If the \
        newest\nvalue of a variable is damaged, an older one is saved if it is whole.\n\
        Exit code 0: nothing was lost; 1: there are losses.")]
pub(crate) struct Repair {
    /// The damaged file
    #[arg(long, value_name = "DAMAGED", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// The file to create, which must not exist
    #[arg(long, value_name = "NEW", value_hint = ValueHint::FilePath)]
    pub(crate) into: PathBuf,

    /// Use files on a network drive
    #[arg(long)]
    pub(crate) allow_network: bool,
}

/// Copies a map into a new file, while other processes go on using it
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar copy [OPTIONS] NAME --into NEW\n       mapvar copy [OPTIONS] --file PATH --into NEW",
    after_help = "Examples:\n  \
        mapvar copy --file live.map --into backup.map\n\n\
        The copy is the map as of one instant, where its writers permit that; otherwise standard \
        error says so.\nA copy of the file by another program, such as cp, may be torn. Locks and \
        ephemeral variables are not copied.\nA variable whose value cannot be read is left out: standard \
        error names it, and the exit code is 1."
)]
pub(crate) struct Copy {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// The file to create, which must not exist
    #[arg(long, value_name = "NEW", value_hint = ValueHint::FilePath)]
    pub(crate) into: PathBuf,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,
}

/// Creates a map without a file and keeps it until Ctrl-C, or while a command runs
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        mapvar hold alpha --size 64KiB &\n  \
        mapvar hold alpha --var foo=hello --var bar=77\n  \
        mapvar hold alpha --join --ephemeral worker.7=busy -- ./worker\n\n\
        The map exists as long as a process has it open. Other processes may hold it too, with \
        --join.\nA script that starts `hold` in the background can wait until it is ready: \
        `mapvar wait-for NAME`.\n\
        SIGTERM, SIGINT and SIGHUP are passed on to CMD. Exit code with CMD: that of CMD, 128 if \
        a signal\nended it. If it is 0, and the name was removed meanwhile, it is 23.")]
pub(crate) struct Hold {
    /// The map: 1 to 120 of A-Z a-z 0-9 . _ -
    pub(crate) name: String,

    /// Bytes of values that the map is made for, as 64KiB or 1MB. It takes 64 KiB and grows;
    /// --max-size is raised to what these need
    #[arg(long, value_parser = parse::size, default_value = "64KiB")]
    pub(crate) size: u64,

    /// Bytes that the map may grow to, overhead included; at least what --size needs
    #[arg(long, value_name = "SIZE", value_parser = parse::size, default_value = "1GiB")]
    pub(crate) max_size: u64,

    /// A variable to set, of the kind that it would have in `set`; may be given several times
    #[arg(long = "var", value_name = "VAR=VALUE", value_parser = parse::assignment)]
    pub(crate) vars: Vec<(String, String)>,

    /// The same, for a variable that vanishes when this process ends
    #[arg(long = "ephemeral", value_name = "VAR=VALUE", value_parser = parse::assignment)]
    pub(crate) ephemeral: Vec<(String, String)>,

    /// If the map exists already, hold it too
    #[arg(long)]
    pub(crate) join: bool,

    /// The name belongs to the whole machine, not to this session
    #[arg(long)]
    pub(crate) global: bool,

    /// How long to wait for another process, as 5s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse::duration)]
    pub(crate) timeout: Duration,

    /// `marshal`: the layout of Ruby's gem win32-mmap, of exactly --size bytes
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "store")]
    pub(crate) format: Format,

    /// A command, after `--`, and its arguments: the map is held while it runs
    #[arg(value_name = "CMD", last = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// Prints each change of variables as it happens, one per line, until Ctrl-C
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar watch [OPTIONS] NAME [VAR]...\n       \
                      mapvar watch [OPTIONS] --file PATH [VAR]...",
    after_help = "Examples:\n  \
        mapvar watch alpha                     all variables\n  \
        mapvar watch alpha foo bar             these, whether they exist yet or not\n  \
        mapvar watch alpha car.rpm             a field of the struct \"car\", which exists\n  \
        mapvar watch alpha --prefix engine.\n  \
        mapvar watch alpha foo --timeout 8s    until 8 seconds have passed without a change\n  \
        mapvar watch alpha foo --exec 'echo \"$MAPVAR_VAR is $MAPVAR_VALUE\"'\n\n\
        Each line is a change: name, kind and value, or `removed` as the kind. If changes come \
        faster than\nthey are printed, only the newest of each variable is printed.\n\
        Exit code 29: the time of --timeout has passed."
)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) at: At,

    /// NAME of the map (omitted with --file), and variables; without any, all
    #[arg(value_name = "NAME VAR")]
    words: Vec<String>,

    /// Watch all variables with names that begin with PREFIX
    #[arg(long, value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,

    /// Exit after this long without a change, as 8s or 500ms [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) timeout: Option<Duration>,

    /// Exit after this many changes
    #[arg(long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,

    /// Print how many changes of the variable were skipped before this one, in a column of its own
    #[arg(long)]
    pub(crate) skipped: bool,

    /// Run this with the shell for each change, one after the other, instead of printing it.
    /// `MAPVAR_VAR`, `MAPVAR_KIND`, `MAPVAR_VALUE` and `MAPVAR_SKIPPED` are in its environment;
    /// a value that is too large for that is left out, and `mapvar get` prints it
    #[arg(long, value_name = "CMD")]
    pub(crate) exec: Option<String>,
}

impl Watch {
    /// Returns map and variables.
    pub(crate) fn words(&self) -> Result<(Option<&str>, &[String]), clap::Error> {
        let (map, vars) = self.at.split(&self.words);
        if map.is_none() && self.at.file.is_none() {
            return Err(unnamed("watch"));
        }
        if self.prefix.is_some() && !vars.is_empty() {
            let message = "either variables or --prefix, not both";
            return Err(wrong("watch", ErrorKind::ArgumentConflict, message));
        }
        Ok((map, vars))
    }
}

/// Waits until variables have these values, or until a map exists
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar wait-for [OPTIONS] NAME [CONDITION]...\n       \
                      mapvar wait-for [OPTIONS] --file PATH [CONDITION]...",
    after_help = "A CONDITION is VAR=VALUE, VAR!=VALUE (also if VAR is absent), VAR (it exists) or \
                  !VAR (it is absent).\nAll of them must hold at once, as far as reading one \
                  variable after the other can show.\nWithout a CONDITION it waits until \
                  the map exists; with one, the map must exist already, or come within the time \
                  of --wait.\n\n\
        Examples:\n  \
        mapvar hold alpha & mapvar wait-for alpha --timeout 8s\n  \
        mapvar wait-for alpha state=ready --timeout 8s && ./start\n  \
        mapvar wait-for alpha !lockfile\n\n\
        Exit code 0: they hold, or the map exists; 29: the time of --timeout has passed."
)]
pub(crate) struct WaitFor {
    #[command(flatten)]
    pub(crate) at: At,

    /// NAME of the map (omitted with --file), and any number of CONDITIONs
    #[arg(value_name = "NAME CONDITION")]
    words: Vec<String>,

    /// How long to wait, as 8s or 500ms [default: forever]
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) timeout: Option<Duration>,
}

impl WaitFor {
    pub(crate) fn words(&self) -> Result<(Option<&str>, &[String]), clap::Error> {
        match self.at.split(&self.words) {
            (None, []) if self.at.file.is_none() => Err(unnamed("wait-for")),
            other => Ok(other),
        }
    }
}

/// Runs a command while owning a lock
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar lock [OPTIONS] NAME LOCK -- CMD [ARG]...\n       \
                      mapvar lock [OPTIONS] --file PATH LOCK -- CMD [ARG]...",
    after_help = "Examples:\n  \
        mapvar lock alpha backup -- cp -r a b\n  \
        mapvar lock --shared alpha data -- ./report\n  \
        mapvar lock --timeout 0s alpha job -- ./job     or not at all, if the lock is taken\n\n\
        The lock is released when CMD ends. SIGTERM, SIGINT and SIGHUP are passed on to CMD. If \
        this\nprocess is killed, CMD goes on without the lock, and the next owner is warned.\n\
        If the file or name of the map is removed or replaced while CMD runs, another process can \
        take\nthe lock of the new map: standard error says so within a second, and CMD goes on.\n\
        Exit code: that of CMD, 128 if a signal ended it;\n\
        23, 32: CMD succeeded, but the map was removed or replaced meanwhile, or the lock was taken \
        away;\n\
        29: the lock did not become free in time, and CMD was not run."
)]
pub(crate) struct Lock {
    #[command(flatten)]
    pub(crate) at: At,

    /// NAME of the map (omitted with --file), and LOCK
    #[arg(value_name = "NAME LOCK", required = true, num_args = 1..=2)]
    words: Vec<String>,

    /// Share the lock with other owners that use --shared
    #[arg(long)]
    pub(crate) shared: bool,

    /// How long to wait for the lock, as 8s or 500ms [default: forever]
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) timeout: Option<Duration>,

    /// The command, after `--`, and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

impl Lock {
    /// Returns map and lock.
    pub(crate) fn words(&self) -> Result<(Option<&str>, &str), clap::Error> {
        match self.at.split(&self.words) {
            (map, [lock]) => Ok((map, lock)),
            (map, words) => Err(miscounted("lock", map, "LOCK", words)),
        }
    }
}

/// Lists the locks of a map, with their owners and waiters
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar locks [OPTIONS] NAME\n       mapvar locks [OPTIONS] --file PATH",
    after_help = "Each line is a lock with one of its owners or waiters: lock, state (free, held, \
                  shared, waits,\nor gone if the process is dead), process, program, and how long \
                  it has owned or waited."
)]
pub(crate) struct Locks {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,
}

/// Lists the processes that have a map open for writing
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar who [OPTIONS] NAME\n       mapvar who [OPTIONS] --file PATH",
    after_help = "Each line is a process: its id, program, how long it has had the map open, the \
                  locks that it owns,\nthe locks that it waits for, its ephemeral variables, and \
                  the variable that it watches. This command\nitself is left out."
)]
pub(crate) struct Who {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,
}

/// Takes a lock away from its owner; without LOCK, the lock of a map of Ruby's gem win32-mmap
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar unlock [OPTIONS] NAME [LOCK]\n       mapvar unlock [OPTIONS] --file PATH [LOCK]",
    after_help = "The lock of a dead process is free by itself, and the next owner is warned. A \
                  live process may hang,\nor, with the gem, may have kept its lock after an \
                  exception: use --force if you know that it\ndoes not write."
)]
pub(crate) struct Unlock {
    #[command(flatten)]
    pub(crate) place: MapArgs,

    /// NAME of the map (omitted with --file), and LOCK
    #[arg(value_name = "NAME LOCK")]
    words: Vec<String>,

    /// Take the lock away even if its owner may be alive
    #[arg(long)]
    pub(crate) force: bool,
}

impl Unlock {
    /// Returns map and lock.
    pub(crate) fn words(&self) -> Result<(Option<&str>, Option<&str>), clap::Error> {
        match self.place.split(&self.words) {
            (None, []) if self.place.file.is_none() => Err(unnamed("unlock")),
            (map, []) => Ok((map, None)),
            (map, [lock]) => Ok((map, Some(lock))),
            (map, words) => Err(miscounted("unlock", map, "LOCK", words)),
        }
    }
}

/// Mirrors variables on other machines, by the program mapvar-bridge; `mapvar bridge --help`
#[derive(Args, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Bridge {
    /// Arguments of mapvar-bridge
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<std::ffi::OsString>,
}

/// The second process of the demonstration.
#[derive(Args, Debug)]
pub(crate) struct DemoPeer {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

impl At {
    /// Returns the map's name, unless the map is a file, and the words after it.
    fn split<'a>(&self, words: &'a [String]) -> (Option<&'a str>, &'a [String]) {
        match words.split_first() {
            Some((name, rest)) if self.file.is_none() => (Some(name), rest),
            _ => (None, words),
        }
    }

    fn split_some<'a>(
        &self,
        command: &str,
        words: &'a [String],
    ) -> Result<(Option<&'a str>, &'a [String]), clap::Error> {
        match self.split(words) {
            (map, []) => Err(miscounted(command, map, "VAR...", &[])),
            other => Ok(other),
        }
    }
}

/// Returns a usage error that clap does not detect itself, in clap's form.
pub(crate) fn wrong(
    command: &str,
    kind: ErrorKind,
    message: impl std::fmt::Display,
) -> clap::Error {
    let mut cli = Cli::command();
    cli.build();
    match cli.find_subcommand_mut(command) {
        Some(command) => command.error(kind, message),
        None => cli.error(kind, message),
    }
}

fn unnamed(command: &str) -> clap::Error {
    let message = "the map is missing: its NAME, or --file PATH";
    wrong(command, ErrorKind::MissingRequiredArgument, message)
}

fn miscounted(command: &str, map: Option<&str>, wanted: &str, words: &[String]) -> clap::Error {
    let given = match words {
        [] => "nothing".into(),
        words => format!("{words:?}"),
    };
    let behind = map.map_or_else(
        || "with --file there is no NAME, and".into(),
        |map| format!("after the map's name {map:?},"),
    );
    let message = format!("{behind} {wanted} is expected, not {given}");
    wrong(command, ErrorKind::WrongNumberOfValues, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_contradiction() {
        Cli::command().debug_assert();
    }
}
