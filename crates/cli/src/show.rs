//! Standard output: raw to a pipe or a file, escaped for a terminal.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
};

/// Standard output.
pub(crate) struct Out {
    to: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Out {
    pub(crate) fn new() -> Self {
        let to = io::stdout().lock();
        let terminal = to.is_terminal();
        Self { to: BufWriter::new(to), terminal }
    }

    /// Writes a line of untrusted text.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        let text = if self.terminal { escaped(text) } else { text.into() };
        self.to.write_all(text.as_bytes())?;
        self.to.write_all(b"\n")
    }

    /// Writes exactly these bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    /// Writes a table of one line for each row. Cells are always escaped, so that they cannot break
    /// lines. A terminal gets columns, cut to its width; a pipe gets complete cells, separated by
    /// tabs.
    pub(crate) fn table<const N: usize>(&mut self, rows: &[[String; N]]) -> io::Result<()> {
        let width = self
            .terminal
            .then(|| terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)));
        for line in lines(rows, width) {
            self.to.write_all(line.as_bytes())?;
            self.to.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Writes all buffered bytes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn lines<const N: usize>(rows: &[[String; N]], width: Option<usize>) -> Vec<String> {
    let cells = || rows.iter().map(|row| row.each_ref().map(|cell| escaped(cell)));
    let Some(width) = width else { return cells().map(|row| row.join("\t")).collect() };
    let mut widest = [0; N];
    for row in cells() {
        for (widest, cell) in widest.iter_mut().zip(&row) {
            *widest = cell.chars().count().max(*widest);
        }
    }
    // A name of a thousand characters must not push everything off the terminal.
    let widest = widest.map(|column| column.min(width / 2));
    let mut lines = Vec::new();
    for row in cells() {
        let mut line = String::new();
        for (at, (cell, column)) in row.iter().zip(widest).enumerate() {
            let last = at + 1 == N;
            let limit = if last { width.saturating_sub(line.chars().count()) } else { column };
            let cell = shortened(cell, limit);
            let gap = if last { 0 } else { column - cell.chars().count() + 2 };
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', gap));
        }
        lines.push(line);
    }
    lines
}

/// Returns the text, cut to `limit` characters with an ellipsis at the end if it is longer.
fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    if text.chars().count() <= limit {
        return text.into();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.extend((limit > 0).then_some('…'));
    short.into()
}

/// Escapes characters as `\u{..}` that a terminal might obey, hide or reorder.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(unsafe_to_show) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if unsafe_to_show(c) {
            // Writing to a `String` cannot fail.
            let _ = write!(safe, "{}", c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe.into()
}

fn unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Formats the time since then, in one unit.
pub(crate) fn ago(since: Option<std::time::SystemTime>) -> String {
    let Some(since) = since else { return "?".into() };
    let seconds = since.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Formats a count, as in `1 variable` and `2 variables`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(escaped("a\u{1b}[2Jb\nc\td\u{9b}"), "a\\u{1b}[2Jb\\u{a}c\\u{9}d\\u{9b}");
        assert_eq!(escaped("safe\u{202e}exe.txt"), "safe\\u{202e}exe.txt");
        assert_eq!(escaped("Grüße, 世界 é \\ \"x\""), "Grüße, 世界 é \\ \"x\"");
    }

    #[test]
    fn a_pipe_gets_whole_lines_with_tabs() {
        let rows = [["a".to_string(), "x".repeat(300)], ["b\nc".into(), "t\tu".into()]];
        let lines = lines(&rows, None);
        assert_eq!(lines, [format!("a\t{}", "x".repeat(300)), "b\\u{a}c\tt\\u{9}u".into()]);
    }

    #[test]
    fn a_terminal_gets_columns_that_fit() {
        let row = |name: &str, kind: &str, value: &str| [name, kind, value].map(String::from);
        let rows = [row("a", "str", &"x".repeat(300)), row("long", "int", "77")];
        assert_eq!(lines(&rows, Some(20)), ["a     str  xxxxxxxx…", "long  int  77"]);
        let rows = [row(&"n".repeat(1000), "str", "x")];
        let line = lines(&rows, Some(20)).remove(0);
        assert_eq!(line, format!("{}…  str  x", "n".repeat(9)));
        for width in 0..12 {
            assert_eq!(lines(&rows, Some(width)).len(), 1);
        }
    }
}
