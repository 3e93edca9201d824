//! Bar charts as SVG: enough for the documents, and nothing that moves. Colours are readable on white and on
//! dark pages alike; every bar has its number beside it.

use std::fmt::Write;

const COLOURS: &[&str] = &[
    "#2f7ed8", "#e8833a", "#3aa65b", "#c0504d", "#8064a2", "#17a2b8", "#b8860b", "#d16ba5",
    "#6b7a8f", "#7f9f3f", "#4b5fa8", "#a05a2c", "#5fb0b7", "#9b9b9b",
];

const WIDTH: f64 = 860.0;
const LEFT: f64 = 120.0;
const RIGHT: f64 = 110.0;
const BAR: f64 = 16.0;
const GAP: f64 = 14.0;
const TOP: f64 = 44.0;

/// A chart of horizontal bars: one group a row, one bar a series.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) unit: &'a str,
    /// Names of the series.
    pub(crate) series: Vec<String>,
    /// A row's name, and its value in each series.
    pub(crate) rows: Vec<(String, Vec<f64>)>,
    /// One bar a row, the series one after the other in it.
    pub(crate) stacked: bool,
}

impl Chart<'_> {
    /// Draws it.
    pub(crate) fn draw(&self) -> String {
        let bars = if self.stacked {
            1
        } else {
            self.series.len().max(1)
        };
        let group = bars as f64 * BAR + GAP;
        let sums = self.rows.iter().map(|(_, values)| {
            if self.stacked {
                values.iter().sum()
            } else {
                values.iter().copied().fold(0.0, f64::max)
            }
        });
        let most = sums.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let scale = (WIDTH - LEFT - RIGHT) / most;
        let legend_lines = if self.series.len() > 1 {
            self.series.len().div_ceil(3)
        } else {
            0
        };
        let bottom = TOP + group * self.rows.len() as f64;
        let height = bottom + 22.0 * legend_lines as f64 + 12.0;

        let mut svg = String::new();
        let mut put = |line: String| svg.push_str(&(line + "\n"));
        put(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">"
        ));
        put("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>".into());
        put(format!(
            "<text x=\"16\" y=\"26\" font-size=\"16\" fill=\"#222\">{} ({})</text>",
            escaped(self.title),
            escaped(self.unit)
        ));
        for (row, (name, values)) in self.rows.iter().enumerate() {
            let top = TOP + group * row as f64;
            put(text(
                LEFT - 10.0,
                top + bars as f64 * BAR / 2.0 + 5.0,
                "end",
                name,
            ));
            let mut x = LEFT;
            for (at, value) in values.iter().enumerate() {
                let y = if self.stacked {
                    top
                } else {
                    top + BAR * at as f64
                };
                if !self.stacked {
                    x = LEFT;
                }
                let width = (value * scale).max(0.0);
                put(format!(
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                    BAR - 2.0,
                    COLOURS[at % COLOURS.len()]
                ));
                x += width;
                if !self.stacked {
                    put(text(x + 6.0, y + 12.0, "start", &number(*value)));
                }
            }
            if self.stacked {
                let sum: f64 = values.iter().sum();
                put(text(x + 6.0, top + 12.0, "start", &number(sum)));
            }
        }
        if legend_lines > 0 {
            for (at, name) in self.series.iter().enumerate() {
                let x = 16.0 + (at % 3) as f64 * 280.0;
                let y = bottom + 8.0 + 22.0 * (at / 3) as f64;
                put(format!(
                    "<rect x=\"{x}\" y=\"{y:.1}\" width=\"12\" height=\"12\" fill=\"{}\"/>",
                    COLOURS[at % COLOURS.len()]
                ));
                put(text(x + 18.0, y + 11.0, "start", name));
            }
        }
        put("</svg>".into());
        svg
    }
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    let mut line = String::new();
    let _ = write!(
        line,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222\">{}</text>",
        escaped(text)
    );
    line
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A number as people read it: three digits that count, thousands parted.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut parted = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            parted.push(',');
        }
        parted.push(digit);
    }
    if value < 0.0 {
        format!("-{parted}")
    } else {
        parted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count() {
        for (value, expected) in [
            (0.0, "0.00"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234.0, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-5_000.0, "-5,000"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    fn chart(stacked: bool) -> Chart<'static> {
        Chart {
            title: "a < b & c",
            unit: "ms",
            series: vec!["one".into(), "two".into()],
            rows: vec![("x".into(), vec![1.0, 3.0]), ("y".into(), vec![2.0, 0.0])],
            stacked,
        }
    }

    #[test]
    fn every_value_has_a_bar_as_long_as_it_is_large() {
        let svg = chart(false).draw();
        assert_eq!(svg.matches("height=\"14.0\"").count(), 4);
        // The largest reaches from the names to the numbers.
        assert!(svg.contains("width=\"630.0\""), "{svg}");
        assert!(svg.contains("width=\"210.0\""), "{svg}");
        assert!(svg.contains("a &lt; b &amp; c"));
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn stacked_bars_begin_where_the_one_before_ends() {
        let svg = chart(true).draw();
        assert!(
            svg.contains("x=\"120.0\" y=\"44.0\" width=\"157.5\""),
            "{svg}"
        );
        assert!(
            svg.contains("x=\"277.5\" y=\"44.0\" width=\"472.5\""),
            "{svg}"
        );
    }

    #[test]
    fn nothing_to_show_is_still_a_drawing() {
        let svg = Chart {
            rows: Vec::new(),
            ..chart(false)
        }
        .draw();
        assert!(svg.contains("</svg>"));
    }
}
