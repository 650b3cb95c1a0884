//! Tables as psql draws them: headings in the middle, numbers to the right, a `+` where a value goes on in the next line.

use crate::client::Column;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// How rows are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A line for each row.
    Aligned,
    /// A line for each value.
    Expanded,
}

/// Draws rows; NULL is empty.
pub(super) fn draw(columns: &[Column], rows: &[Vec<Option<String>>], style: Style) -> String {
    match style {
        Style::Aligned => aligned(columns, rows),
        Style::Expanded => expanded(columns, rows),
    }
}

fn lines(value: Option<&Option<String>>) -> Vec<&str> {
    value.and_then(Option::as_deref).map_or_else(|| vec![""], |text| text.split('\n').collect())
}

fn aligned(columns: &[Column], rows: &[Vec<Option<String>>]) -> String {
    let width_of = |(place, column): (usize, &Column)| {
        let values = rows.iter().flat_map(|row| lines(row.get(place))).map(|line| line.width());
        values.chain([column.name.width()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width_of).collect();
    let mut out = String::new();
    let headings = columns.iter().zip(&widths).map(|(column, width)| {
        let free = width - column.name.width();
        format!(" {}{}{} ", " ".repeat(free / 2), column.name, " ".repeat(free - free / 2))
    });
    out += headings.collect::<Vec<_>>().join("|").trim_end();
    out.push('\n');
    out += &widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("+");
    out.push('\n');
    for row in rows {
        let cells: Vec<Vec<&str>> = (0..columns.len()).map(|place| lines(row.get(place))).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for at in 0..height {
            let pieces = cells.iter().zip(&widths).zip(columns).map(|((cell, width), column)| {
                let text = cell.get(at).copied().unwrap_or_default();
                let free = " ".repeat(width - text.width());
                let mark = if at + 1 < cell.len() { '+' } else { ' ' };
                if column.is_number() { format!(" {free}{text}{mark}") } else { format!(" {text}{free}{mark}") }
            });
            out += pieces.collect::<Vec<_>>().join("|").trim_end();
            out.push('\n');
        }
    }
    let _ = writeln!(out, "({} {})", rows.len(), if rows.len() == 1 { "row" } else { "rows" });
    out
}

fn expanded(columns: &[Column], rows: &[Vec<Option<String>>]) -> String {
    if rows.is_empty() {
        return "(0 rows)\n".to_owned();
    }
    let width = columns.iter().map(|column| column.name.width()).max().unwrap_or_default();
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        let _ = writeln!(out, "-[ RECORD {} ]{}", number + 1, "-".repeat(width.saturating_sub(8)));
        for (place, column) in columns.iter().enumerate() {
            let free = " ".repeat(width - column.name.width());
            for (at, line) in lines(row.get(place)).iter().enumerate() {
                let name = if at == 0 { format!("{}{free}", column.name) } else { " ".repeat(width) };
                out += format!("{name} | {line}").trim_end();
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<Column>, Vec<Vec<Option<String>>>) {
        let column = |name: &str, oid| Column { name: name.to_owned(), oid };
        let some = |text: &str| Some(text.to_owned());
        let rows = vec![
            vec![some("1"), some("Merkur ☿"), None],
            vec![some("1000"), some("two\nlines"), some("-1.5")],
            vec![None, some("水星"), some("3")],
        ];
        (vec![column("id", 23), column("a long name", 25), column("n", 1700)], rows)
    }

    #[test]
    fn rows_are_aligned() {
        let (columns, rows) = sample();
        insta::assert_snapshot!(draw(&columns, &rows, Style::Aligned));
    }

    #[test]
    fn rows_are_expanded() {
        let (columns, rows) = sample();
        insta::assert_snapshot!(draw(&columns, &rows, Style::Expanded));
    }

    #[test]
    fn nothing_is_drawn_too() {
        assert_eq!(draw(&[], &[], Style::Aligned), "\n\n(0 rows)\n");
        assert_eq!(draw(&[], &[vec![]], Style::Aligned), "\n\n\n(1 row)\n");
        assert_eq!(draw(&[], &[], Style::Expanded), "(0 rows)\n");
    }
}
