//! Get and set, by handle and by name, beside the peers.

use super::{
    canvas::{Axis, Canvas, GRID, INK, OURS, PALE, PAPER, Side, THEIRS, picture, time},
    record::Record,
};
use crate::{Result, work::names::figure};

const WIDTH: i32 = 980;
/// Of a column: the names of the peers, the axis, and space for a figure behind the last bar.
const NAMES: i32 = 172;
const AXIS: i32 = 220;
const COLUMN: i32 = 480;
const MARGIN: i32 = 24;
const ROW: i32 = 24;

struct Bar {
    name: String,
    nanoseconds: f64,
    ours: bool,
}

struct Panel {
    title: String,
    bars: Vec<Bar>,
}

impl Panel {
    /// Our figures and those of the peers of the last operation, the shortest first.
    fn new(record: &Record, title: String, ours: &[(&str, &str)]) -> Self {
        let mut bars: Vec<Bar> = ours
            .iter()
            .filter_map(|&(name, operation)| {
                Some(Bar { name: name.into(), nanoseconds: record.ours(operation)?, ours: true })
            })
            .collect();
        if let Some((_, operation)) = ours.last() {
            bars.extend(record.beside(operation).into_iter().map(|(name, nanoseconds)| Bar {
                name: name.to_owned(),
                nanoseconds,
                ours: false,
            }));
        }
        bars.sort_by(|one, two| one.nanoseconds.total_cmp(&two.nanoseconds));
        Self { title, bars }
    }

    fn height(&self) -> i32 {
        i32::try_from(self.bars.len()).unwrap_or(0) * ROW
    }

    fn draw(&self, canvas: &Canvas<'_>, (left, top): (i32, i32), axis: Axis) -> Result<()> {
        canvas.bold((left, top), &self.title, 15, INK, Side::RightOf)?;
        let axis = axis.moved(left);
        let (top, start) = (top + 18, axis.ticks().next().unwrap_or(1.0));
        let bottom = top + self.height();
        // So many powers of ten that not all have space for their names.
        let named = if axis.ticks().count() > 6 { 2 } else { 1 };
        for (number, tick) in axis.ticks().enumerate() {
            let x = axis.at(tick);
            canvas.line(vec![(x, top), (x, bottom)], 1, GRID)?;
            if number % named == 0 {
                canvas.text((x, bottom + 10), &time(tick), 11, PALE, Side::Middle)?;
            }
        }
        for (bar, y) in self.bars.iter().zip((top + ROW / 2..).step_by(24)) {
            let (color, ink) = if bar.ours { (OURS, OURS) } else { (THEIRS[0], INK) };
            let name = if bar.ours { Canvas::bold } else { Canvas::text };
            name(canvas, (left + NAMES - 10, y), &bar.name, 13, ink, Side::LeftOf)?;
            let end = axis.at(bar.nanoseconds);
            canvas.bar((axis.at(start), y - 6), (end, y + 6), color)?;
            let figure = time(bar.nanoseconds);
            // Hides the lines of the grid behind the figure.
            let wide = i32::try_from(figure.len()).unwrap_or(0) * 7;
            canvas.bar((end + 3, y - 8), (end + 6 + wide, y + 8), PAPER)?;
            canvas.text((end + 6, y), &figure, 12, ink, Side::RightOf)?;
        }
        Ok(())
    }
}

/// Returns the number of variables with most peers by name; the largest of those.
fn widest(record: &Record) -> Option<String> {
    let counts = [100, 1_000, 100_000, 1_000_000, 10_000_000].map(figure);
    let measured = counts.into_iter().map(|count| {
        let peers = record.beside(&format!("get by name, {count}")).len();
        (peers, count)
    });
    measured.filter(|(peers, _)| *peers > 0).max_by_key(|(peers, _)| *peers).map(|it| it.1)
}

pub fn draw(record: &Record) -> Result<String> {
    let count = widest(record).ok_or("the record has no row `get by name`")?;
    let mut rows = Vec::new();
    rows.push(["get", "set"].map(|verb| {
        let [atomic, var] = ["Atomic<u64>", "Var<u64>"].map(|what| format!("{verb} {what}"));
        let ours = [("mapvar, Atomic", atomic.as_str()), ("mapvar, Var", var.as_str())];
        Panel::new(record, format!("{verb} a u64 by its handle"), &ours)
    }));
    rows.push(["get", "set"].map(|verb| {
        let operation = format!("{verb} by name, {count}");
        let title = format!("{verb} one of {count} variables by its name");
        Panel::new(record, title, &[("mapvar", &operation)])
    }));
    let bars = rows.iter().flatten().flat_map(|panel| &panel.bars).map(|bar| bar.nanoseconds);
    let axis = Axis::of(bars, NAMES, NAMES + AXIS);
    let heights = rows.iter().map(|row| row.iter().map(Panel::height).max().unwrap_or(0) + 66);
    let height = 84 + heights.clone().sum::<i32>() + 18;
    let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
    picture(size, "mapvar beside its peers", |canvas| {
        canvas.bold((MARGIN, 28), "mapvar beside its peers", 20, INK, Side::RightOf)?;
        let about = "Time of one operation on one core, logarithmic: shorter is better";
        canvas.text((MARGIN, 52), about, 13, PALE, Side::RightOf)?;
        let mut top = 90;
        for (row, height) in rows.iter().zip(heights) {
            for (panel, left) in row.iter().zip([MARGIN, MARGIN + COLUMN]) {
                panel.draw(canvas, (left, top), axis)?;
            }
            top += height;
        }
        canvas.text((MARGIN, height - 18), &record.about, 11, PALE, Side::RightOf)
    })
}
