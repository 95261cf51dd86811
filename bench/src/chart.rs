//! An SVG chart of the ratios to the floor, for the README.

use std::fmt::Write as _;

use crate::table::{Row, Table};

/// The metrics of the chart, as the table names them.
const METRICS: [&str; 5] = [
    "cold start, ms",
    "CPU time of a cold start, ms",
    "warm invocation p50, µs",
    "peak memory, MiB",
    "zipped size, MiB",
];

const WIDTH: f64 = 760.0;
const LABEL_WIDTH: f64 = 190.0;
/// Space for the value to the right of the longest bar.
const VALUE_WIDTH: f64 = 120.0;
const BAR_HEIGHT: f64 = 14.0;
const GROUP_GAP: f64 = 16.0;
const LEGEND_HEIGHT: f64 = 44.0;

/// The colors follow the reader's color scheme: an image has its own.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.value{fill:#57606a}.floor{stroke:#57606a;stroke-dasharray:3 3}\
    .bar0{fill:#3b4fd8}.bar1{fill:#0f7b8a}.bar2{fill:#9a6700}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.value{fill:#9198a1}.floor{stroke:#9198a1}\
    .bar0{fill:#9aa8ff}.bar1{fill:#56c2cf}.bar2{fill:#d4a72c}}";

/// Draws a bar for each subject and metric.
pub(crate) fn svg(table: &Table) -> String {
    let rows: Vec<_> = table
        .rows()
        .iter()
        .filter(|row| METRICS.contains(&row.name.as_str()))
        .collect();
    let subjects = table.subjects().get(1..).unwrap_or_default();
    let floor = table.subjects().first().map_or("", String::as_str);
    let ratios = || rows.iter().flat_map(|row| bars(row));
    let longest = ratios().map(|(_, ratio)| ratio).fold(1.0, f64::max);
    let scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / longest;

    let mut body = String::new();
    let mut y = LEGEND_HEIGHT;
    for row in &rows {
        let top = y;
        for (index, (value, ratio)) in bars(row).enumerate() {
            let (width, baseline) = (ratio * scale, y + BAR_HEIGHT - 3.0);
            let decimals = row.decimals;
            element(
                &mut body,
                format_args!(
                    r#"<rect class="bar{index}" x="{LABEL_WIDTH}" y="{y}" width="{width:.1}" height="{height}"/><text class="value" x="{x:.1}" y="{baseline}">{ratio:.2}× · {value:.decimals$}</text>"#,
                    height = BAR_HEIGHT - 2.0,
                    x = LABEL_WIDTH + width + 6.0,
                ),
            );
            y += BAR_HEIGHT;
        }
        let middle = f64::midpoint(top, y) + 3.0;
        let name = escape(&row.name);
        element(
            &mut body,
            format_args!(r#"<text x="0" y="{middle}">{name}</text>"#),
        );
        y += GROUP_GAP;
    }
    let at_floor = LABEL_WIDTH + scale;
    element(
        &mut body,
        format_args!(
            r#"<line class="floor" x1="{at_floor:.1}" x2="{at_floor:.1}" y1="{LEGEND_HEIGHT}" y2="{y}"/><text class="value" x="{at_floor:.1}" y="{}" text-anchor="middle">{} = 1×</text>"#,
            LEGEND_HEIGHT - 8.0,
            escape(floor),
        ),
    );
    let mut x = 0.0;
    for (index, subject) in subjects.iter().enumerate() {
        element(
            &mut body,
            format_args!(
                r#"<rect class="bar{index}" x="{x}" y="4" width="12" height="12"/><text x="{}" y="14">{}</text>"#,
                x + 18.0,
                escape(subject),
            ),
        );
        x += 240.0;
    }
    let description = escape(&format!(
        "{} compared with {floor}: ratio and value of {}",
        subjects.join(", "),
        METRICS.join("; "),
    ));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" viewBox=\"0 0 {WIDTH} {y}\" role=\"img\">\n\
         <title>{description}</title>\n<style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// The value and ratio of each subject but the floor.
fn bars(row: &Row) -> impl Iterator<Item = (f64, f64)> {
    row.medians.iter().skip(1).copied()
}

fn element(body: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(body, "{element}");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Metric;

    #[test]
    fn draws_bar_per_subject_and_metric() {
        let mut table = Table::new(["floor", "one", "two & more"]);
        table.add(
            &Metric::ratio("cold start, ms", 2),
            &[vec![1.0], vec![2.0], vec![1.5]],
        );
        table.add(
            &Metric::ratio("not in the chart", 0),
            &[vec![1.0], vec![9.0], vec![9.0]],
        );
        table.add(
            &Metric::ratio("peak memory, MiB", 1),
            &[vec![3.0], vec![4.5], vec![]],
        );

        let chart = svg(&table);

        // Two ratios of the first metric, one of the second, and two in the legend.
        assert_eq!(chart.matches("<rect").count(), 5, "{chart}");
        for text in [
            ">2.00× · 2.00<",
            ">1.50× · 1.50<",
            ">1.50× · 4.5<",
            ">two &amp; more<",
            ">floor = 1×<",
        ] {
            assert!(chart.contains(text), "{text} is not in {chart}");
        }
        // The longest bar leaves space for its value.
        assert!(chart.contains(r#"width="450.0""#), "{chart}");
        assert!(!chart.contains("NaN"), "{chart}");
    }
}
