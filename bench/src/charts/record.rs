//! Reads a record.

use crate::Result;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// A figure of ours, and one peer's beside it.
pub struct Row {
    pub operation: String,
    pub ours: f64,
    pub beside: Option<(String, f64)>,
}

pub struct Record {
    pub path: PathBuf,
    /// What a picture says of it.
    pub about: String,
    /// Those with figures in nanoseconds.
    pub rows: Vec<Row>,
}

impl Record {
    /// Reads the newest record of a full run, or the newest if there is none.
    pub fn newest(folder: &Path) -> Result<Self> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let date = name.get(..10).unwrap_or_default().to_owned();
            if Path::new(&name).extension().is_some_and(|it| it == "csv") {
                let full = name.ends_with("-full.csv");
                found.push((full, date, entry.metadata()?.modified()?, entry.path()));
            }
        }
        let newest = found.into_iter().max().ok_or("no record: `cargo xtask bench` writes one")?;
        Self::read(newest.3)
    }

    fn read(path: PathBuf) -> Result<Self> {
        let text = std::fs::read_to_string(&path)?;
        let mut lines = text.lines();
        let heads = cells(lines.next().unwrap_or_default());
        let (mut about, mut rows) = (None, Vec::new());
        for line in lines {
            let line = cells(line);
            let named: HashMap<&str, &str> =
                heads.iter().map(String::as_str).zip(line.iter().map(String::as_str)).collect();
            let cell = |name: &str| named.get(name).copied().ok_or(format!("no column {name}"));
            if about.is_none() {
                let (run, date, commit) = (cell("run")?, cell("date")?, cell("commit")?);
                let machine = cell("machine")?;
                about = Some(format!("{run} run, {date}, commit {commit}, {machine}"));
            }
            // Rows without figures, and those of memory.
            if cell("unit")? != "ns" {
                continue;
            }
            let beside = match cell("peer")? {
                "" => None,
                peer => Some((peer.to_owned(), cell("theirs")?.parse()?)),
            };
            let operation = cell("operation")?.to_owned();
            rows.push(Row { operation, ours: cell("ours")?.parse()?, beside });
        }
        let about = about.ok_or_else(|| format!("{}: no rows", path.display()))?;
        Ok(Self { path, about, rows })
    }

    /// Returns our figure.
    pub fn ours(&self, operation: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.operation == operation).map(|row| row.ours)
    }

    /// Returns the peers of an operation and their figures.
    pub fn beside(&self, operation: &str) -> Vec<(&str, f64)> {
        let rows = self.rows.iter().filter(|row| row.operation == operation);
        rows.filter_map(|row| row.beside.as_ref()).map(|(peer, it)| (peer.as_str(), *it)).collect()
    }
}

/// Splits a line of CSV; a cell in quotes may have commas, and doubled quotes.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    let mut rest = line.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                cells.last_mut().expect("one at least").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            other => cells.last_mut().expect("one at least").push(other),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::cells;

    #[test]
    fn cells_in_quotes_keep_commas_and_quotes() {
        assert_eq!(cells(r#"a,"b, ""c""",,d"#), ["a", "b, \"c\"", "", "d"]);
    }
}
