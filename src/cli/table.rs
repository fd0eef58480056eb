//! Rows as aligned columns, for people.

use super::console::Console;
use super::exit::Failure;

/// Rows under a head line. Control characters that a stranger put into a name are not printed.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub(super) fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|&head| head.to_owned()).collect()] }
    }

    /// Adds a row; missing cells are shown as a dash.
    pub(super) fn row(&mut self, cells: Vec<Option<String>>) {
        let cell = |cell: Option<String>| match cell.filter(|text| !text.is_empty()) {
            Some(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
            None => "-".to_owned(),
        };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// Whether it has no rows but its head.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// Prints it.
    pub(super) fn print(&self, console: &mut Console) -> Result<(), Failure> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                let gap = (width + 2).saturating_sub(cell.chars().count());
                line.extend(std::iter::repeat_n(' ', gap));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        console.print(&text)
    }
}
