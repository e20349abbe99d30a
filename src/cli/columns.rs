//! Text in columns for a terminal.

use std::io::{self, IsTerminal};

use crate::decide::messages;

/// How wide a line is at most.
pub(super) const COLUMNS: usize = 100;

/// How good or bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shade {
    /// As it should be.
    Good,
    /// Somebody may want to look.
    Unsure,
    /// Somebody has to act.
    Bad,
}

/// Whether standard output takes colours: it is a terminal, and nobody asked for none.
/// See <https://no-color.org>.
pub(super) fn colourful() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

/// A text in the colour of its shade. The words must say the same as the colour.
pub(super) fn painted(text: &str, shade: Shade, colour: bool) -> String {
    if !colour {
        return text.to_owned();
    }
    let code = match shade {
        Shade::Good => "32",
        Shade::Unsure => "33",
        Shade::Bad => "31",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// The cells, padded to their columns. The widest columns give way until a line fits, down to 12 characters, which still
/// tell two commits apart.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<[String; N]> {
    columns_within(rows, COLUMNS)
}

/// The same in lines of another width.
pub(super) fn columns_within<const N: usize>(rows: &[[String; N]], line: usize) -> Vec<[String; N]> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let mut widths: [usize; N] = std::array::from_fn(width);
    let room = line.saturating_sub(2 * N.saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max() else { break };
        if *widest <= 12 {
            break;
        }
        *widest -= 1;
    }
    let cell = |text: &String, width: usize| format!("{:width$}", messages::shortened(text, width));
    rows.iter().map(|row| std::array::from_fn(|column| cell(&row[column], widths[column]))).collect()
}

/// A line of cells, without white space at its end.
pub(super) fn line<const N: usize>(cells: &[String; N]) -> String {
    format!("{}\n", cells.join("  ").trim_end())
}

/// Text below a heading: its name, and what there is to say, with further lines below that where it is longer than one.
pub(super) fn named_line(name: &str, what: &str) -> String {
    const NAME: usize = 11;
    let mut text = String::new();
    let mut current = format!("  {name:<NAME$}");
    let mut empty = true;
    for word in what.split(' ') {
        if !empty && current.chars().count() + 1 + word.chars().count() > COLUMNS {
            text.push_str(current.trim_end());
            text.push('\n');
            current = " ".repeat(2 + NAME);
            empty = true;
        }
        if !empty {
            current.push(' ');
        }
        current.push_str(word);
        empty = false;
    }
    text.push_str(current.trim_end());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_goes_on_below_its_beginning() {
        let text = named_line("because", &"word ".repeat(30));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("  because    word") && lines[1].starts_with("             word"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!(named_line("", &"x".repeat(200)), format!("{}{}\n", " ".repeat(13), "x".repeat(200)));
    }
}
