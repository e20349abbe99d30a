//! The output of the demo: plain lines of at most 100 columns, with some colour on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

/// The columns that prose keeps to; kubectl's tables may be wider.
const WIDTH: usize = 100;

const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// Prints to standard output.
#[derive(Clone, Copy, Debug)]
pub struct Transcript {
    colour: bool,
}

#[allow(clippy::unused_self, reason = "all methods belong to the transcript, whether or not they need its colour")]
impl Transcript {
    /// With colour when standard output is a terminal and `NO_COLOR` is unset (<https://no-color.org>).
    pub fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: !refused && std::io::stdout().is_terminal() }
    }

    /// The heading of a step.
    pub fn heading(self, number: usize, title: &str) {
        println!("\n{}\n", self.painted(BOLD, &format!("{number} · {title}")));
    }

    /// Prose, wrapped.
    pub fn say(self, text: &str) {
        for line in wrapped(text, WIDTH) {
            println!("{line}");
        }
    }

    /// A command that a person can repeat.
    pub fn command(self, command: &str) {
        println!("{}", self.painted(CYAN, &format!("$ {command}")));
    }

    /// What a command printed, or a manifest: left as it is.
    pub fn output(self, text: &str) {
        for line in text.trim_end().lines() {
            println!("{}", format!("  {}", self.painted(FAINT, line)).trim_end());
        }
    }

    /// Long lines that a command printed, wrapped.
    pub fn quote(self, text: &str) {
        for line in text.trim_end().lines() {
            let mut indent = "  ";
            for part in wrapped(line, WIDTH - 6) {
                println!("{indent}{}", self.painted(FAINT, &part));
                indent = "      ";
            }
        }
    }

    /// Something that happened: when, in the cluster or at the broker, what.
    pub fn moment(self, at: Duration, source: &str, what: &str, broker_state: &str) {
        let line = format!("  {:>5.1} s  {source:<8} {what:<52}", at.as_secs_f64());
        if broker_state.is_empty() {
            println!("{}", line.trim_end());
        } else {
            println!("{line} {}", self.painted(FAINT, broker_state));
        }
    }

    /// A promise that was kept.
    pub fn kept(self, promise: &str) {
        self.marked(&self.painted(GREEN, "✔"), promise);
    }

    /// A promise that was not kept.
    pub fn broken(self, expected: &str, found: &str) {
        println!();
        self.marked(&self.painted(RED, "✘"), &format!("expected: {expected}"));
        self.marked(" ", &format!("found:    {found}"));
    }

    /// An empty line.
    pub fn gap(self) {
        println!();
    }

    fn marked(self, mark: &str, text: &str) {
        let mut mark = mark;
        for line in wrapped(text, WIDTH - 2) {
            println!("{mark} {line}");
            mark = " ";
        }
    }

    fn painted(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A duration as people say it.
pub fn shown(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// Lines of at most that many characters, broken at spaces; a longer word stays whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for part in text.split_inclusive(' ') {
        if !line.is_empty() && line.chars().count() + part.trim_end().chars().count() > width {
            lines.push(line.trim_end().to_owned());
            line.clear();
        }
        line.push_str(part);
    }
    lines.push(line.trim_end().to_owned());
    lines
}
