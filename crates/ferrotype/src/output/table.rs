//! A table of text: a header, a rule, rows.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, TableStyle};

/// A table of text. Columns of numbers are aligned to the right.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// An empty table with these column titles. A title that starts with `>` is a column of numbers.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self::with_header(header.map(str::to_string).to_vec())
    }

    /// As [`Table::new`], for a number of columns known only at run time.
    pub(crate) fn with_header(header: Vec<String>) -> Self {
        let right = (0..header.len())
            .filter(|&column| header[column].starts_with('>'))
            .collect();
        let header = header
            .into_iter()
            .map(|title| title.trim_start_matches('>').to_string())
            .collect();
        Self {
            header,
            rows: Vec::new(),
            right,
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl ToString>) -> &mut Self {
        self.rows
            .push(cells.into_iter().map(|cell| cell.to_string()).collect());
        self
    }

    /// The table as text, folded to the terminal's width when it goes to one.
    pub(crate) fn render(&self, to_terminal: bool) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(
            TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')),
        );
        // A terminal that does not know its width says 0: then nothing is folded.
        match console::Term::stdout().size_checked() {
            Some((_, columns)) if to_terminal && columns > 0 => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(columns);
            }
            _ => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(&self.header);
        table.add_rows(&self.rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for &index in &self.right {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_no_line_ends_in_blanks() {
        let mut table = Table::new(["class", ">images"]);
        table.row(["forest", "1,200"]).row(["sea", "7"]);
        assert_eq!(
            table.render(false),
            "class    images\n\
             ─────────────────\n\
             forest    1,200\n\
             sea           7"
        );
    }
}
