//! What may be typed.

use crate::parse::{self, Type};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint, error::ErrorKind};
use std::{path::PathBuf, time::Duration};

const EXAMPLES: &str = "\
Examples:
  mapvar set --file t.map foo hello      a variable in a file, which is made if need be
  mapvar get --file t.map foo
  mapvar list --file t.map

  mapvar hold alpha --size 64KiB &       a map without a file, known by its name
  mapvar set alpha bar 77                from any other process
  mapvar get alpha bar
  mapvar stat alpha

Exit codes: 0 done; 1 a variable is absent, or check found faults, or repair could not save
all; 2 wrong usage; 11 and up another error, a code for each kind: 11 no such map, 15 the map is
full, 24 it is no map.";

/// Sees and sets variables that processes share, in memory-mapped files and named shared memory
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
    Hold(Hold),
    Unlock(Unlock),
    /// Shows two processes that exchange variables, by a name and through a file
    Demo,
    #[command(hide = true)]
    DemoPeer(DemoPeer),
}

/// Which map.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The map in this file, in place of NAME
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// NAME is of the whole machine, as those of services, not of this session
    #[arg(long, conflicts_with = "file")]
    pub(crate) global: bool,

    /// How long to wait for another process, as 5s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse::duration)]
    pub(crate) timeout: Duration,

    /// Use a file on a network drive, where other machines do not see the changes
    #[arg(long, requires = "file")]
    pub(crate) allow_network: bool,

    /// How the variables lie there; recognised unless given. `marshal` is the layout of Ruby's gem
    /// win32-mmap
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<Format>,
}

/// How variables lie in the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// mapvar's own
    Store,
    /// That of Ruby's gem win32-mmap
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

/// Sets a variable; makes it, and with --file the map, where there is none
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar set [OPTIONS] NAME VAR VALUE\n       \
                      mapvar set [OPTIONS] --file PATH VAR VALUE",
    after_help = "Examples:\n  \
        mapvar set alpha bar 77                an integer\n  \
        mapvar set alpha zip 77 --type str     text\n  \
        mapvar set --file t.map --size 1MiB foo hello\n  \
        mapvar set alpha key --type bytes 0x00ff\n  \
        date | mapvar set alpha now -          text from standard input"
)]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) place: Place,

    /// NAME of the map, left out with --file; VAR; and VALUE. `-` is standard input: text without
    /// its last newline, or with --bytes all its bytes
    #[arg(value_name = "NAME VAR VALUE", required = true, allow_negative_numbers = true)]
    words: Vec<String>,

    /// What VALUE is. Unless given, -77 is an int, true a bool, 1.5 and 2e9 are floats, and all
    /// else is text
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    as_type: Option<Type>,

    /// The same as --type bytes
    #[arg(long, conflicts_with = "as_type")]
    bytes: bool,

    /// Bytes of values that a new file's map has room for, as 64KiB or 1MB [default: 64KiB]
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

    /// Map, variable and value. A nil needs no value.
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
    after_help = "Bytes come as hexadecimal digits, lists and dictionaries in the manner of JSON. \
                  On a terminal,\ncontrol characters are shown as \\u{..}."
)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) place: Place,

    /// NAME of the map, left out with --file; and one VAR or more
    #[arg(value_name = "NAME VAR", required = true)]
    words: Vec<String>,

    /// Print what kind of value it is instead
    #[arg(long, conflicts_with = "raw")]
    pub(crate) kind: bool,

    /// Text and bytes exactly as they are, without a newline
    #[arg(long)]
    pub(crate) raw: bool,
}

impl Get {
    pub(crate) fn words(&self) -> Result<(Option<&str>, &[String]), clap::Error> {
        self.place.split_some("get", &self.words)
    }
}

/// Lists variables, in the order of their names
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar list [OPTIONS] NAME\n       mapvar list [OPTIONS] --file PATH",
    after_help = "A line is a variable: name, kind and value. A terminal gets columns that fit its \
                  width; a pipe\ngets them whole, with tabs between. Control characters come as \
                  \\u{..}: `get` has them raw."
)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) place: Place,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,

    /// Their names alone
    #[arg(long)]
    pub(crate) names: bool,
}

/// Removes variables
#[derive(Args, Debug)]
#[command(override_usage = "mapvar rm [OPTIONS] NAME VAR...\n       \
                      mapvar rm [OPTIONS] --file PATH VAR...")]
pub(crate) struct Rm {
    #[command(flatten)]
    pub(crate) place: Place,

    /// NAME of the map, left out with --file; and one VAR or more
    #[arg(value_name = "NAME VAR", required = true)]
    words: Vec<String>,
}

impl Rm {
    pub(crate) fn words(&self) -> Result<(Option<&str>, &[String]), clap::Error> {
        self.place.split_some("rm", &self.words)
    }
}

/// Prints facts about a map, one per line: how large, how full, made when and by whom
#[derive(Args, Debug)]
#[command(override_usage = "mapvar stat [OPTIONS] NAME\n       mapvar stat [OPTIONS] --file PATH")]
pub(crate) struct Stat {
    #[command(flatten)]
    pub(crate) place: Place,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,
}

/// Looks whether a map is whole, and says where it is not; writes nothing
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar check [OPTIONS] NAME\n       mapvar check [OPTIONS] --file PATH",
    after_help = "Examples:\n  \
        mapvar check alpha                     others may go on using it\n  \
        mapvar check --file t.map              also where `get` and `list` refuse it\n\n\
        A line is a finding: a fault, or a note, which harms nothing; the last line has the \
        counts.\nExit code 0: whole, whatever the notes say; 1: there are faults; `repair` \
        saves what is whole."
)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) place: Place,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,
}

/// Saves what is whole of a damaged file into a new one
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        mapvar repair --file damaged.map --into new.map\n\n\
        The damaged file is only read. A line is what was lost, and where the damage is; of a \
        variable\nwhose newest value is damaged an older one is saved, if it is whole.\n\
        Exit code 0: nothing was lost; 1: something was.")]
pub(crate) struct Repair {
    /// The damaged file
    #[arg(long, value_name = "DAMAGED", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// The file to make, which must not exist
    #[arg(long, value_name = "NEW", value_hint = ValueHint::FilePath)]
    pub(crate) into: PathBuf,

    /// Use files on a network drive
    #[arg(long)]
    pub(crate) allow_network: bool,
}

/// Makes a map without a file and keeps it until Ctrl-C
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        mapvar hold alpha --size 64KiB &\n  \
        mapvar hold alpha --var foo=hello --var bar=77\n\n\
        The map lives as long as a process has it open: others may hold it too, with --join.")]
pub(crate) struct Hold {
    /// The map: 1 to 120 of A-Z a-z 0-9 . _ -
    pub(crate) name: String,

    /// Bytes of values that it has room for, as 64KiB or 1MB
    #[arg(long, value_parser = parse::size, default_value = "64KiB")]
    pub(crate) size: u64,

    /// Bytes that it may grow to, with all that it takes; no less than --size takes
    #[arg(long, value_name = "SIZE", value_parser = parse::size, default_value = "1GiB")]
    pub(crate) max_size: u64,

    /// A variable to set, its type guessed as `set` does; may be given again
    #[arg(long = "var", value_name = "VAR=VALUE", value_parser = parse::assignment)]
    pub(crate) vars: Vec<(String, String)>,

    /// Hold the map that is there already, if there is one
    #[arg(long)]
    pub(crate) join: bool,

    /// A name of the whole machine, not of this session
    #[arg(long)]
    pub(crate) global: bool,

    /// How long to wait for another process, as 5s or 500ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse::duration)]
    pub(crate) timeout: Duration,

    /// `marshal`: in the layout of Ruby's gem win32-mmap, of exactly --size bytes
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "store")]
    pub(crate) format: Format,
}

/// Frees the lock of a map of Ruby's gem win32-mmap whose holder is gone
#[derive(Args, Debug)]
#[command(
    override_usage = "mapvar unlock [OPTIONS] NAME\n       mapvar unlock [OPTIONS] --file PATH",
    after_help = "Others free it by themselves where nobody lives who could hold it. A program of \
                  the gem that\nlives may have left it for good, after an exception: --force, if \
                  you know that it does not write."
)]
pub(crate) struct Unlock {
    #[command(flatten)]
    pub(crate) place: Place,

    /// The map
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) name: Option<String>,

    /// Also where a living program may hold it
    #[arg(long)]
    pub(crate) force: bool,
}

/// The second process of the demonstration.
#[derive(Args, Debug)]
pub(crate) struct DemoPeer {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

impl Place {
    /// The map's name, if it has one, and the words behind it.
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

/// An error of usage that clap does not see by itself, in clap's form.
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
