//! Curves over axes, as one SVG picture.
//!
//! In come points, out go shapes and labels. Knows nothing of what a curve means.

use std::fmt::Write;

use super::axis::Axis;
use super::words::escaped;

/// The picture's size, and the space around what is drawn, in the units of its labels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// One picture.
pub(super) struct Chart {
    /// What it shows, for whoever can't see it.
    pub(super) description: String,
    /// What is counted from left to right.
    pub(super) across: Axis,
    /// What is measured from below upwards.
    pub(super) up: Axis,
    /// Curves, the first one behind the others.
    pub(super) curves: Vec<Curve>,
    /// A place from left to right that is pointed out, and what it is.
    pub(super) mark: Option<(&'static str, f64)>,
}

/// One curve.
pub(super) struct Curve {
    /// How it looks: a class of the page's style sheet.
    pub(super) class: &'static str,
    /// From left to right.
    pub(super) points: Vec<(f64, f64)>,
    /// What its points are called, and how they are written; none: they are not shown.
    pub(super) figures: Option<Figures>,
}

/// What the points of a curve are called, and how they are written.
type Figures = (&'static str, fn(f64) -> String);

impl Chart {
    /// The same with this place pointed out, if there is one.
    pub(super) fn marked(self, name: &'static str, place: Option<f64>) -> Self {
        Self {
            mark: place.map(|place| (name, place)),
            ..self
        }
    }

    /// The picture.
    pub(super) fn svg(&self) -> String {
        let mut svg = format!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
            escaped(&self.description)
        );
        self.draw_axes(&mut svg);
        self.draw_mark(&mut svg);
        for curve in &self.curves {
            self.draw(&mut svg, curve);
        }
        self.label_last(&mut svg);
        svg.push_str("</svg>");
        svg
    }

    fn x(&self, number: f64) -> f64 {
        LEFT + self.across.place(number) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, number: f64) -> f64 {
        HEIGHT - BOTTOM - self.up.place(number) * (HEIGHT - BOTTOM - TOP)
    }

    fn draw_axes(&self, svg: &mut String) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &self.up.ticks {
            let (y, label) = (self.y(*tick), (self.up.label)(*tick));
            put(
                svg,
                format_args!(r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#),
            );
            let (x, y) = (LEFT - 8.0, y + 4.0);
            put(
                svg,
                format_args!(r#"<text class="end" x="{x}" y="{y:.1}">{label}</text>"#),
            );
        }
        for tick in &self.across.ticks {
            let (x, label) = (self.x(*tick), (self.across.label)(*tick));
            let y = floor + 17.0;
            put(
                svg,
                format_args!(r#"<text class="middle" x="{x:.1}" y="{y}">{label}</text>"#),
            );
        }
        put(
            svg,
            format_args!(r#"<line class="floor" x1="{LEFT}" x2="{right}" y1="{floor}" y2="{floor}"/>"#),
        );
        let (middle, below) = (f64::midpoint(LEFT, right), HEIGHT - 6.0);
        let name = self.across.name;
        put(
            svg,
            format_args!(r#"<text class="middle" x="{middle}" y="{below}">{name}</text>"#),
        );
    }

    fn draw_mark(&self, svg: &mut String) {
        let Some((name, place)) = self.mark else { return };
        let (x, floor) = (self.x(place), HEIGHT - BOTTOM);
        put(
            svg,
            format_args!(r#"<line class="mark" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{floor}"/>"#),
        );
        let (x, y) = (x + 5.0, floor - 6.0);
        put(svg, format_args!(r#"<text x="{x:.1}" y="{y}">{name}</text>"#));
    }

    fn draw(&self, svg: &mut String, curve: &Curve) {
        let Curve {
            class,
            points,
            figures,
        } = curve;
        let places = points.iter().map(|(x, y)| (self.x(*x), self.y(*y)));
        let line: String = places.map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        put(
            svg,
            format_args!(r#"<polyline class="{class}" points="{}"/>"#, line.trim_end()),
        );
        let Some((name, written)) = figures else { return };
        for (x, y) in points {
            let said = format!("{} {x}: {name} {}", self.across.name, written(*y));
            let (x, y) = (self.x(*x), self.y(*y));
            put(
                svg,
                format_args!(
                    r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3"><title>{said}</title></circle>"#
                ),
            );
        }
    }

    /// Writes at the last point of the foremost curve what it is: below it if another curve ends above it.
    fn label_last(&self, svg: &mut String) {
        let mut ends = self.curves.iter().rev().filter_map(|curve| {
            let (_, written) = curve.figures?;
            curve.points.last().map(|point| (point, written))
        });
        let Some(((x, y), written)) = ends.next() else {
            return;
        };
        let is_highest = ends.all(|((_, other), _)| other <= y);
        let (x, label) = (self.x(*x), written(*y));
        let y = self.y(*y) + if is_highest { -9.0 } else { 19.0 };
        put(
            svg,
            format_args!(r#"<text class="end final" x="{x:.1}" y="{y:.1}">{label}</text>"#),
        );
    }
}

fn put(svg: &mut String, shape: std::fmt::Arguments<'_>) {
    // Memory takes everything.
    let _ = svg.write_fmt(shape);
}
