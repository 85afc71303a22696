//! The cost of get, set, insert and walk as the map grows.

use super::{
    canvas::{Axis, Canvas, GRID, INK, OURS, PALE, Side, THEIRS, picture, time},
    record::Record,
};
use crate::{Result, work::names::figure};
use plotters::style::RGBColor;

const COUNTS: [usize; 5] = [100, 1_000, 100_000, 1_000_000, 10_000_000];
/// The peers with a line.
const PEERS: [&str; 4] = ["std HashMap", "LMDB", "redb", "SQLite"];
/// The title of a panel, and its operation.
const PANELS: [(&str, &str); 4] = [
    ("get by name", "get by name"),
    ("set by name", "set by name"),
    ("insert (all in one go)", "insert"),
    ("walk", "walk"),
];

const SIZE: (u32, u32) = (980, 700);
const PANEL: (i32, i32) = (400, 210);
const LEFTS: [i32; 2] = [70, 550];
const TOPS: [i32; 2] = [142, 418];

struct Line {
    points: Vec<(usize, f64)>,
    color: RGBColor,
    width: u32,
}

/// Returns the lines of a panel, ours last, so that it lies above the others.
fn lines(record: &Record, operation: &str) -> Vec<Line> {
    let at = |count| format!("{operation}, {}", figure(count));
    let mut lines: Vec<Line> = PEERS
        .into_iter()
        .zip(THEIRS)
        .map(|(peer, color)| {
            let of = |count| {
                let peers = record.beside(&at(count));
                peers.into_iter().find(|it| it.0 == peer).map(|it| (count, it.1))
            };
            Line { points: COUNTS.into_iter().filter_map(of).collect(), color, width: 2 }
        })
        .collect();
    let ours = |count| record.ours(&at(count)).map(|figure| (count, figure));
    let points = COUNTS.into_iter().filter_map(ours).collect();
    lines.push(Line { points, color: OURS, width: 4 });
    lines
}

fn panel(canvas: &Canvas<'_>, title: &str, lines: &[Line], [across, up]: [Axis; 2]) -> Result<()> {
    let (left, right) = (across.at(100.0), across.at(1e7));
    let ticks: Vec<f64> = up.ticks().collect();
    let [lowest, .., highest] = ticks.as_slice() else { return Err("no scale".into()) };
    let (bottom, top) = (up.at(*lowest), up.at(*highest));
    canvas.bold((left, top - 18), title, 15, INK, Side::RightOf)?;
    for &tick in &ticks {
        let y = up.at(tick);
        canvas.line(vec![(left, y), (right, y)], 1, GRID)?;
        canvas.text((left - 8, y), &time(tick), 11, PALE, Side::LeftOf)?;
    }
    for power in 2..=7 {
        let count = 10_usize.pow(power);
        let x = across.at(count as f64);
        canvas.line(vec![(x, top), (x, bottom)], 1, GRID)?;
        canvas.text((x, bottom + 13), &figure(count), 11, PALE, Side::Middle)?;
    }
    for Line { points, color, width } in lines {
        let path: Vec<(i32, i32)> =
            points.iter().map(|&(count, time)| (across.at(count as f64), up.at(time))).collect();
        for point in &path {
            canvas.dot(*point, width + 1, *color)?;
        }
        if path.len() > 1 {
            canvas.line(path, *width, *color)?;
        }
    }
    Ok(())
}

pub fn draw(record: &Record) -> Result<String> {
    let panels = PANELS.map(|(title, operation)| (title, lines(record, operation)));
    let all = panels.iter().flat_map(|it| &it.1).flat_map(|line| &line.points).map(|point| point.1);
    if all.clone().next().is_none() {
        return Err("the record has no rows of several sizes".into());
    }
    let across = Axis::of([100.0, 1e7].into_iter(), 0, PANEL.0);
    let up = Axis::of(all, PANEL.1, 0);
    picture(SIZE, "Cost as the map grows", |canvas| {
        let title = "What an operation costs as the map grows";
        canvas.bold((24, 28), title, 20, INK, Side::RightOf)?;
        let about = "Time of one variable, on one core, by the number of variables in the map; \
                     both axes are logarithmic";
        canvas.text((24, 52), about, 13, PALE, Side::RightOf)?;
        let mut x = 24;
        for (name, color) in [("mapvar", OURS)].into_iter().chain(PEERS.into_iter().zip(THEIRS)) {
            canvas.line(vec![(x, 80), (x + 22, 80)], if color == OURS { 4 } else { 2 }, color)?;
            canvas.text((x + 30, 80), name, 13, INK, Side::RightOf)?;
            x += 60 + i32::try_from(name.len()).unwrap_or(0) * 8;
        }
        for (number, (title, lines)) in panels.iter().enumerate() {
            let axes = [across.moved(LEFTS[number % 2]), up.moved(TOPS[number / 2])];
            panel(canvas, title, lines, axes)?;
        }
        let bottom = i32::try_from(SIZE.1).unwrap_or(0) - 18;
        canvas.text((24, bottom), &record.about, 11, PALE, Side::RightOf)
    })
}
