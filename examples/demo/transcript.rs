//! How the demo speaks: plain lines of at most 100 columns, a little colour where a person looks at them.

use std::io::IsTerminal;
use std::time::Duration;

/// The columns that prose keeps to. What kubectl prints is left as it is.
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

impl Transcript {
    /// With colour when standard output is a terminal and `NO_COLOR` is unset (<https://no-color.org>).
    pub fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: !refused && std::io::stdout().is_terminal() }
    }

    /// The heading of a scene.
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

    /// What a command printed, or a manifest.
    pub fn output(self, text: &str) {
        for line in text.trim_end().lines() {
            println!("  {}", self.painted(FAINT, line));
        }
    }

    /// Something that happened: when, in the cluster or at the broker, what.
    pub fn moment(self, at: Duration, place: &str, what: &str, aside: &str) {
        let line = format!("  {:>5.1} s  {place:<8} {what:<50}", at.as_secs_f64());
        if aside.is_empty() {
            println!("{}", line.trim_end());
        } else {
            println!("{line} {}", self.painted(FAINT, aside));
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

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
