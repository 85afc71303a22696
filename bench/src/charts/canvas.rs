//! Lines and letters of a picture, in pixels, and the scales of its axes.

use crate::Result;
use plotters::{
    coord::Shift,
    element::{Circle, PathElement, Rectangle},
    prelude::{DrawingArea, IntoDrawingArea as _, SVGBackend},
    style::{
        Color as _, FontFamily, FontStyle, IntoTextStyle as _, RGBColor, ShapeStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};
use std::fmt::Write as _;

pub const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
pub const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
/// Of what explains.
pub const PALE: RGBColor = RGBColor(0x59, 0x63, 0x6e);
/// Of lines behind the figures.
pub const GRID: RGBColor = RGBColor(0xdd, 0xe2, 0xe7);
pub const OURS: RGBColor = RGBColor(0x09, 0x69, 0xda);
/// Of peers, in the order of their importance.
pub const THEIRS: [RGBColor; 4] = [
    RGBColor(0x8c, 0x95, 0x9f),
    RGBColor(0xbc, 0x4c, 0x00),
    RGBColor(0x1a, 0x7f, 0x37),
    RGBColor(0x82, 0x50, 0xdf),
];

/// Each color, and what replaces it where the reader's screen is dark.
const DARK: [(RGBColor, &str); 9] = [
    (PAPER, "#0d1117"),
    (INK, "#e6edf3"),
    (PALE, "#9198a1"),
    (GRID, "#2a313a"),
    (OURS, "#4c9aff"),
    (THEIRS[0], "#7d8590"),
    (THEIRS[1], "#f0883e"),
    (THEIRS[2], "#3fb950"),
    (THEIRS[3], "#a371f7"),
];

/// Where a text stands beside its place.
#[derive(Clone, Copy)]
pub enum Side {
    LeftOf,
    Middle,
    RightOf,
}

pub struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

impl Canvas<'_> {
    pub fn text(
        &self,
        (x, y): (i32, i32),
        text: &str,
        size: u32,
        color: RGBColor,
        beside: Side,
    ) -> Result<()> {
        self.styled((x, y), text, size, color, beside, FontStyle::Normal)
    }

    pub fn bold(
        &self,
        (x, y): (i32, i32),
        text: &str,
        size: u32,
        color: RGBColor,
        beside: Side,
    ) -> Result<()> {
        self.styled((x, y), text, size, color, beside, FontStyle::Bold)
    }

    fn styled(
        &self,
        place: (i32, i32),
        text: &str,
        size: u32,
        color: RGBColor,
        beside: Side,
        style: FontStyle,
    ) -> Result<()> {
        let across = match beside {
            Side::LeftOf => HPos::Right,
            Side::Middle => HPos::Center,
            Side::RightOf => HPos::Left,
        };
        // The backend divides the size by 1.24.
        let font = (FontFamily::SansSerif, f64::from(size) * 1.24, style);
        let style = font.into_text_style(&self.0).pos(Pos::new(across, VPos::Center));
        Ok(self.0.draw_text(text, &style.color(&color), place)?)
    }

    pub fn line(&self, path: Vec<(i32, i32)>, width: u32, color: RGBColor) -> Result<()> {
        Ok(self.0.draw(&PathElement::new(path, color.stroke_width(width)))?)
    }

    pub fn bar(&self, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Result<()> {
        Ok(self.0.draw(&Rectangle::new([from, to], color.filled()))?)
    }

    pub fn dot(&self, at: (i32, i32), radius: u32, color: RGBColor) -> Result<()> {
        Ok(self.0.draw(&Circle::new(at, radius, ShapeStyle::from(color).filled()))?)
    }
}

/// Draws a picture of this size, with its title, in colors for light and dark screens.
pub fn picture(
    (width, height): (u32, u32),
    title: &str,
    draw: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
    area.fill(&PAPER)?;
    let canvas = Canvas(area);
    draw(&canvas)?;
    canvas.0.present()?;
    drop(canvas);
    // A rule of a style sheet takes precedence over an attribute.
    let mut rules = String::new();
    for (RGBColor(red, green, blue), dark) in DARK {
        let light = format!("#{red:02X}{green:02X}{blue:02X}");
        _ = write!(rules, "[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}");
    }
    let head = svg.find("<svg").and_then(|at| Some(at + svg[at..].find('>')? + 1));
    let head = head.ok_or("no SVG")?;
    let style = format!(
        "\n<title>{title}</title>\n\
         <style>text{{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif}}\
         @media (prefers-color-scheme:dark){{{rules}}}</style>"
    );
    svg.insert_str(head, &style);
    Ok(svg)
}

/// A logarithmic axis.
#[derive(Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    from: i32,
    to: i32,
}

impl Axis {
    /// An axis of whole powers of ten that has all these figures, between two pixels.
    pub fn of(figures: impl Iterator<Item = f64> + Clone, from: i32, to: i32) -> Self {
        let low = figures.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let high = figures.fold(f64::MIN_POSITIVE, f64::max).log10().ceil();
        Self { low, high: high.max(low + 1.0), from, to }
    }

    pub fn moved(self, pixels: i32) -> Self {
        Self { from: self.from + pixels, to: self.to + pixels, ..self }
    }

    pub fn at(&self, figure: f64) -> i32 {
        let part = (figure.log10() - self.low) / (self.high - self.low);
        #[allow(clippy::cast_possible_truncation, reason = "a pixel")]
        let offset = (part * f64::from(self.to - self.from)).round() as i32;
        self.from + offset
    }

    /// The powers of ten on the axis.
    pub fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        #[allow(clippy::cast_possible_truncation, reason = "small and whole")]
        let powers = self.low as i32..=self.high as i32;
        powers.map(|power| 10_f64.powi(power))
    }
}

/// A time with two or three digits.
pub fn time(nanoseconds: f64) -> String {
    let (figure, unit) = match nanoseconds {
        ..1e3 => (nanoseconds, "ns"),
        ..1e6 => (nanoseconds / 1e3, "µs"),
        ..1e9 => (nanoseconds / 1e6, "ms"),
        _ => (nanoseconds / 1e9, "s"),
    };
    // Those of an axis are whole.
    let digits = usize::from(figure < 9.95 && figure.fract() != 0.0);
    format!("{figure:.digits$} {unit}")
}
