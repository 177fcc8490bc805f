//! Columns for people, and the same columns for scripts.
//!
//! Knows no headings: the manual page names the columns.

use std::io::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::out::{Out, OutError};
use crate::text::visible;

const GAP: usize = 2;
const MORE: char = '…';

/// How much a row stands out, where a terminal shows colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// As it is.
    #[default]
    Plain,
    /// What waits for its reader.
    Bold,
}

impl Weight {
    fn of(self, line: String) -> String {
        match self {
            Weight::Plain => line,
            Weight::Bold => format!("\x1b[1m{line}\x1b[0m"),
        }
    }
}

/// Rows of cells; aligned on a terminal, TAB-separated in a pipe.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<(Vec<String>, Weight)>,
    right: Vec<usize>,
}

impl Table {
    /// Begins a table whose columns of these numbers, from 0, are numbers.
    pub fn new(right: &[usize]) -> Table {
        Table {
            rows: Vec::new(),
            right: right.to_vec(),
        }
    }

    /// Adds a row of raw cells; they are made safe when written.
    pub fn row(&mut self, cells: Vec<String>) {
        self.weighed(cells, Weight::Plain);
    }

    /// Adds a row of raw cells that stands out, or does not.
    pub fn weighed(&mut self, cells: Vec<String>, weight: Weight) {
        self.rows.push((cells, weight));
    }

    /// Writes the table; on a terminal the last column is cut at `width`.
    pub fn write<W: Write>(&self, out: &mut Out<W>, width: Option<usize>) -> Result<(), OutError> {
        if !out.is_terminal() {
            return self.rows.iter().try_for_each(|(row, _)| {
                let cells: Vec<&str> = row.iter().map(String::as_str).collect();
                out.columns(&cells)
            });
        }
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|(row, _)| row.iter().map(|cell| visible(cell).into_owned()).collect())
            .collect();
        let widths = widths(&rows);
        let weights = self.rows.iter().map(|(_, weight)| *weight);
        rows.iter().zip(weights).try_for_each(|(row, weight)| {
            let line = self.aligned(row, &widths);
            let line = cut(line.trim_end(), width.unwrap_or(usize::MAX));
            match out.shows_colour() {
                true => out.line(&weight.of(line)),
                false => out.line(&line),
            }
        })
    }

    fn aligned(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (number, (cell, width)) in row.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            if number > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            match self.right.contains(&number) {
                true => line.extend([&pad, cell.as_str()]),
                false => line.extend([cell.as_str(), &pad]),
            }
        }
        line
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    (0..columns)
        .map(|n| {
            let cells = rows.iter().filter_map(|row| row.get(n));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect()
}

/// Cuts text to so many columns of a terminal; a cut shows as `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let mut out: String = text
        .chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect();
    out.push(MORE);
    out
}

/// Returns the width of the terminal on stdout, if it is one.
pub fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::{Table, Weight, cut};
    use crate::out::Out;

    fn written(terminal: bool, width: Option<usize>) -> String {
        let mut table = Table::new(&[1]);
        table.row(vec!["漢字".into(), "7".into(), "long subject\there".into()]);
        table.row(vec!["a".into(), "100".into(), "x\x1b".into()]);
        let mut bytes = Vec::new();
        table
            .write(&mut Out::to(&mut bytes, terminal), width)
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn people_get_aligned_columns() {
        let expected = "漢字    7  long subject\\there\na     100  x\\x1b\n";
        assert_eq!(written(true, None), expected);
    }

    #[test]
    fn narrow_terminals_get_cut_lines() {
        assert_eq!(
            written(true, Some(16)),
            "漢字    7  long…\na     100  x\\x1b\n"
        );
    }

    #[test]
    fn rows_stand_out_in_colour_only() {
        let mut table = Table::new(&[]);
        table.weighed(vec!["new".into()], Weight::Bold);
        table.weighed(vec!["old".into()], Weight::Plain);
        let written = |out: &mut Out<Vec<u8>>| {
            table.write(out, Some(3)).unwrap();
        };
        let mut colour = Out::to(Vec::new(), true).with_colour(true);
        written(&mut colour);
        assert_eq!(colour.into_inner(), b"\x1b[1mnew\x1b[0m\nold\n");
        let mut plain = Out::to(Vec::new(), true);
        written(&mut plain);
        assert_eq!(plain.into_inner(), b"new\nold\n");
    }

    #[test]
    fn pipes_get_tabs() {
        assert_eq!(
            written(false, Some(5)),
            "漢字\t7\tlong subject\\there\na\t100\tx\\x1b\n"
        );
    }

    #[test]
    fn wide_characters_are_not_halved() {
        assert_eq!(cut("漢字漢字", 8), "漢字漢字");
        assert_eq!(cut("漢字漢字", 7), "漢字漢…");
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        // A mark that combines stays with its letter, and takes no column.
        assert_eq!(cut("ac\u{327}a\u{303}o", 4), "ac\u{327}a\u{303}o");
        assert_eq!(cut("ac\u{327}a\u{303}os", 3), "ac\u{327}…");
    }
}
