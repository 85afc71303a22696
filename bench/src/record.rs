//! The rows of a run: printed, held against the goals, and recorded as CSV.

use crate::{
    Result, goals,
    machine::{self, said},
};
use std::{cell::RefCell, fmt::Write as _, path::PathBuf};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    Nanoseconds,
    Bytes,
}

/// A figure of ours, alone or beside one peer's.
#[derive(Clone, Debug)]
pub struct Row {
    operation: String,
    unit: Unit,
    ours: f64,
    beside: Option<Beside>,
    /// Why there are no figures.
    absent: Option<String>,
}

#[derive(Clone, Debug)]
struct Beside {
    peer: String,
    theirs: f64,
    ratio: f64,
}

impl Row {
    pub fn new(operation: &str, unit: Unit, ours: f64) -> Self {
        Self { operation: operation.to_owned(), unit, ours, beside: None, absent: None }
    }

    /// `ratio` is the median of the ratios of all rounds.
    pub fn beside(mut self, peer: &str, theirs: f64, ratio: f64) -> Self {
        self.beside = Some(Beside { peer: peer.to_owned(), theirs, ratio });
        self
    }
}

/// A row, and its goal if it has one.
#[derive(Debug)]
struct Judged {
    row: Row,
    verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug)]
struct Verdict {
    goal: &'static str,
    limit: f64,
    figure: f64,
    /// Of a figure that is no ratio.
    unit: Option<Unit>,
}

impl Verdict {
    fn is_met(&self) -> bool {
        self.figure <= self.limit
    }

    fn word(&self) -> &'static str {
        if self.is_met() { "met" } else { "missed" }
    }

    fn shown(&self, figure: f64) -> String {
        self.unit.map_or_else(|| format!("{figure:.2}"), |unit| shown(unit, figure))
    }
}

#[derive(Debug)]
pub struct Report {
    quick: bool,
    recorded: bool,
    title: RefCell<Option<String>>,
    /// The last title that was printed.
    printed: RefCell<String>,
    rows: RefCell<Vec<Judged>>,
}

impl Report {
    pub fn new(quick: bool, recorded: bool) -> Self {
        Self {
            quick,
            recorded,
            title: RefCell::default(),
            printed: RefCell::default(),
            rows: RefCell::default(),
        }
    }

    /// Sets the title that is printed before the next row.
    pub fn title(&self, title: &str) {
        let known = *self.printed.borrow() == title;
        *self.title.borrow_mut() = (!known).then(|| title.to_owned());
    }

    /// Prints the title of the next row.
    fn head(&self) {
        if let Some(title) = self.title.take() {
            println!("\n{title}");
            *self.printed.borrow_mut() = title;
        }
    }

    /// Prints a row and keeps it.
    pub fn add(&self, row: Row) {
        self.head();
        let verdict = judge(&row);
        let mut line = format!("{:<38} {:>9}", row.operation, shown(row.unit, row.ours));
        if let Some(Beside { peer, theirs, ratio }) = &row.beside {
            let theirs = shown(row.unit, *theirs);
            // Two digits at least.
            let digits = if *ratio < 0.1 { 4 } else { 2 };
            _ = write!(line, "   {peer:<28} {theirs:>9} {ratio:>7.digits$}x");
        }
        if let Some(verdict) = verdict {
            let limit = verdict.shown(verdict.limit);
            _ = write!(line, "   {} {limit} {}", verdict.goal, verdict.word());
        }
        println!("{line}");
        self.rows.borrow_mut().push(Judged { row, verdict });
    }

    /// Says why a row is not there, in the table and in the record. Without a peer, the whole
    /// operation is not there.
    pub fn absent(&self, operation: &str, peer: &str, why: &str) {
        self.head();
        println!("{operation:<38} {:>9}   {peer:<28} {why}", "–");
        let row = Row {
            beside: Some(Beside { peer: peer.to_owned(), theirs: f64::NAN, ratio: f64::NAN }),
            absent: Some(why.to_owned()),
            ..Row::new(operation, Unit::Nanoseconds, f64::NAN)
        };
        self.rows.borrow_mut().push(Judged { row, verdict: None });
    }

    /// Prints a row for each goal; one goal may have several figures.
    pub fn conclude(&self) {
        let rows = self.rows.borrow();
        println!("\nGoals: figure (limit)");
        let (mut met, mut missed, mut open) = (0, 0, 0);
        for (id, title) in goals::TITLES {
            let verdicts: Vec<Verdict> = rows
                .iter()
                .filter_map(|judged| judged.verdict)
                .filter(|verdict| verdict.goal == *id)
                .collect();
            let figures: Vec<String> = verdicts
                .iter()
                .map(|verdict| {
                    let mark = if verdict.is_met() { "" } else { "!" };
                    let [figure, limit] =
                        [verdict.figure, verdict.limit].map(|it| verdict.shown(it));
                    format!("{figure}{mark} ({limit})")
                })
                .collect();
            let wanted = goals::GOALS.iter().filter(|goal| goal.id == *id).count();
            let word = if verdicts.iter().any(|verdict| !verdict.is_met()) {
                missed += 1;
                "missed"
            } else if verdicts.is_empty() || verdicts.len() < wanted {
                open += 1;
                "not measured whole"
            } else {
                met += 1;
                "met"
            };
            println!("{id:<4} {title:<58} {}  {word}", figures.join("  "));
        }
        println!("{met} met, {missed} missed, {open} not measured whole");
    }

    /// Writes the record, if this run is recorded, and returns its path.
    pub fn save(&self) -> Result<Option<PathBuf>> {
        if !self.recorded {
            return Ok(None);
        }
        let (date, commit, about) = (said("date", &["-u", "+%F"])?, commit(), machine::about());
        let run = if self.quick { "quick" } else { "full" };
        let mut csv = String::from(
            "date,commit,machine,run,operation,unit,ours,peer,theirs,ratio,goal,limit,verdict\n",
        );
        for Judged { row, verdict } in self.rows.borrow().iter() {
            let (machine, operation) = (quoted(&about), quoted(&row.operation));
            if let (Some(why), Some(Beside { peer, .. })) = (&row.absent, &row.beside) {
                let (peer, why) = (quoted(peer), quoted(why));
                _ = writeln!(csv, "{date},{commit},{machine},{run},{operation},,,{peer},,,,,{why}");
                continue;
            }
            let unit = match row.unit {
                Unit::Nanoseconds => "ns",
                Unit::Bytes => "bytes",
            };
            let (peer, theirs, ratio) = match &row.beside {
                Some(Beside { peer, theirs, ratio }) => {
                    (quoted(peer), format!("{theirs:.3}"), format!("{ratio:.4}"))
                }
                None => Default::default(),
            };
            let (goal, limit, word) = match verdict {
                Some(verdict) => (verdict.goal, verdict.limit.to_string(), verdict.word()),
                None => Default::default(),
            };
            _ = writeln!(
                csv,
                "{date},{commit},{machine},{run},{operation},{unit},{:.3},{peer},{theirs},{ratio},\
                 {goal},{limit},{word}",
                row.ours
            );
        }
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/record"));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{date}-{commit}-{run}.csv"));
        std::fs::write(&path, csv)?;
        Ok(Some(path))
    }
}

fn judge(row: &Row) -> Option<Verdict> {
    let (peer, figure, unit) = match &row.beside {
        Some(beside) => (Some(beside.peer.as_str()), beside.ratio, None),
        None => (None, row.ours, Some(row.unit)),
    };
    let goal = goals::of(&row.operation, peer)?;
    Some(Verdict { goal: goal.id, limit: goal.limit, figure, unit })
}

/// Three digits, and the unit.
fn shown(unit: Unit, figure: f64) -> String {
    match unit {
        Unit::Bytes => format!("{figure:.0} B"),
        Unit::Nanoseconds if figure < 10_000.0 => format!("{figure:.1} ns"),
        Unit::Nanoseconds if figure < 10_000_000.0 => format!("{:.1} µs", figure / 1e3),
        Unit::Nanoseconds => format!("{:.1} ms", figure / 1e6),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The commit of the sources; with a plus if they differ from it.
fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short=9", "HEAD"]).unwrap_or_default();
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
    match (commit.as_str(), changed.as_deref()) {
        ("", _) | (_, Err(_)) => "unknown".into(),
        (_, Ok("")) => commit,
        (_, Ok(_)) => commit + "+",
    }
}
