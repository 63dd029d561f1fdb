//! Tables in kubectl's manner: upper-case heads, three spaces, no lines.

use super::paint::{Paint, Tint, one_line};

/// One cell and its colour.
pub(in crate::cli) struct Cell {
    text: String,
    tint: Tint,
}

impl Cell {
    /// A cell in a colour.
    pub fn tinted(text: impl AsRef<str>, tint: Tint) -> Self {
        let text = one_line(text.as_ref());
        let text = if text.is_empty() {
            "-".to_owned()
        } else {
            text
        };
        Self { text, tint }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::tinted(text, Tint::Plain)
    }
}

/// A table in the making.
pub(in crate::cli) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub fn new(head: &[&'static str]) -> Self {
        let head = head.to_vec();
        Self {
            head,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, each line after this indent. The last column is not padded.
    pub fn render(&self, indent: &str, paint: Paint) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(column));
            let longest = cells.map(|c| c.text.chars().count()).max().unwrap_or(0);
            longest.max(self.head.get(column).map_or(0, |h| h.len()))
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let head = self.head.iter().map(|h| (*h, Tint::Plain)).collect();
        let rows = self
            .rows
            .iter()
            .map(|row| row.iter().map(|c| (c.text.as_str(), c.tint)).collect());
        let mut text = String::new();
        for row in std::iter::once(head).chain(rows) {
            let line = line(&row, &widths, paint);
            text.push_str(&format!("{indent}{}\n", line.trim_end()));
        }
        text
    }
}

fn line(row: &Vec<(&str, Tint)>, widths: &[usize], paint: Paint) -> String {
    let last = row.len().saturating_sub(1);
    let cells = row.iter().zip(widths).enumerate();
    cells
        .map(|(i, ((text, tint), width))| {
            let pad = if i == last {
                0
            } else {
                width + 3 - text.chars().count()
            };
            // The padding stays outside the colour, so columns line up.
            format!("{}{}", paint.tint(*tint, text), " ".repeat(pad))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let mut table = Table::new(&["NAME", "PHASE", "KEY-ID"]);
        table.row(vec![
            "a".into(),
            Cell::tinted("Ready", Tint::Good),
            "AKIA1".into(),
        ]);
        table.row(vec!["größer".into(), "-".into(), "".into()]);
        let expected = "NAME     PHASE   KEY-ID\n\
                        a        Ready   AKIA1\n\
                        größer   -       -\n";
        assert_eq!(table.render("", Paint::none()), expected);
        assert!(table.render("  ", Paint::none()).starts_with("  NAME"));
    }

    #[test]
    fn a_cell_cannot_break_its_line() {
        let mut table = Table::new(&["A"]);
        table.row(vec!["x\ny\x1b[31m".into()]);
        assert_eq!(table.render("", Paint::none()), "A\nx y [31m\n");
    }
}
