//! A Markdown table of medians.

use std::fmt;

/// The heading of a row and the format of its values.
pub(crate) struct Metric {
    name: String,
    decimals: usize,
    /// Whether the ratio to the first column is printed as well.
    has_ratio: bool,
}

/// Rows of values, with one column per subject.
pub(crate) struct Table {
    subjects: Vec<String>,
    cells: Vec<Vec<String>>,
    rows: Vec<Row>,
}

/// The medians of a metric that has a ratio.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) decimals: usize,
    /// The value and its ratio to the first column, for each column with values.
    pub(crate) medians: Vec<(f64, f64)>,
}

impl Metric {
    /// Creates a metric whose ratio to the first column is printed.
    pub(crate) fn ratio(name: &str, decimals: usize) -> Self {
        Self {
            has_ratio: true,
            ..Self::plain(name, decimals)
        }
    }

    /// Creates a metric without a ratio.
    pub(crate) fn plain(name: &str, decimals: usize) -> Self {
        Self {
            name: name.to_owned(),
            decimals,
            has_ratio: false,
        }
    }
}

impl Table {
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        let subjects: Vec<_> = columns.into_iter().map(str::to_owned).collect();
        let heading = ["metric".to_owned()].into_iter().chain(subjects.clone());
        Self {
            cells: vec![heading.collect()],
            subjects,
            rows: Vec::new(),
        }
    }

    /// The names of the columns.
    pub(crate) fn subjects(&self) -> &[String] {
        &self.subjects
    }

    /// The rows whose metric has a ratio.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Adds a row with the medians of each column's values, which are those of all rounds.
    pub(crate) fn add(&mut self, metric: &Metric, columns: &[Vec<f64>]) {
        let decimals = metric.decimals;
        let mut row = vec![metric.name.clone()];
        let mut medians = Vec::new();
        for (index, values) in columns.iter().enumerate() {
            let Some(value) = median(values.clone()) else {
                row.push("–".to_owned());
                continue;
            };
            let mut cell = format!("{value:.decimals$}");
            // The median of each round's ratio, because load that slows a whole round does not change its ratio.
            let ratios = values
                .iter()
                .zip(&columns[0])
                .map(|(value, baseline)| value / baseline);
            if let Some(ratio) = median(ratios.collect()).filter(|_| metric.has_ratio) {
                medians.push((value, ratio));
                if index > 0 {
                    cell = format!("{cell} ({ratio:.2}×)");
                }
            }
            row.push(cell);
        }
        self.cells.push(row);
        if metric.has_ratio {
            self.rows.push(Row {
                name: metric.name.clone(),
                decimals,
                medians,
            });
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.cells.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        for (index, row) in self.cells.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                let width = width(column);
                match column {
                    0 => write!(f, "| {cell:<width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            writeln!(f)?;
            if index == 0 {
                for column in 0..row.len() {
                    let line = "-".repeat(width(column));
                    match column {
                        0 => write!(f, "| {line} |")?,
                        _ => write!(f, " {line}:|")?,
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_medians_and_ratios_per_round() {
        let mut table = Table::new(["floor", "function"]);
        // The second round is slow for both columns, which leaves its ratio at 2.
        table.add(
            &Metric::ratio("time, ms", 1),
            &[vec![1.0, 10.0, 1.2], vec![2.0, 20.0, 3.6]],
        );
        table.add(&Metric::plain("calls", 0), &[vec![0.0], vec![]]);
        assert_eq!(
            table.to_string(),
            "| metric   | floor |    function |\n\
             | -------- | -----:| -----------:|\n\
             | time, ms |   1.2 | 3.6 (2.00×) |\n\
             | calls    |     0 |           – |\n"
        );
    }
}
