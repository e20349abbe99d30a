//! The book in `docs/` and the program say the same: commands can be followed, links lead somewhere, closed lists are
//! complete, and generated pages are what the types say. `UPDATE=1` writes the generated pages anew.

mod annotations;
mod arguments;
mod commands;
mod conditions;
mod deployment_tools;
mod entries;
mod kinds;
mod links;
mod log_lines;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The first line of a generated page.
const GENERATED: &str = "<!-- Generated: `make reference` writes this page anew. -->\n\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every file below a folder with this ending, by its path from the root.
fn below(folder: &str, ending: &str) -> Vec<String> {
    fn collect(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, ending, found);
            } else if path.extension().is_some_and(|it| it == ending) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join(folder), ending, &mut found);
    let mut found: Vec<_> = found.iter().map(|path| path.strip_prefix(root()).unwrap().display().to_string()).collect();
    found.sort();
    found
}

/// The READMEs and every page of the book, by their paths.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "charts/pact-operator/README.md".to_owned()];
    pages.extend(below("docs", "md"));
    pages
}

/// Whether checked-in pages are to be written anew.
fn updating() -> bool {
    env::var_os("UPDATE").is_some_and(|value| !value.is_empty())
}

/// The page is this text; with `UPDATE=1` it becomes it.
#[track_caller]
fn is_as_generated(page: &str, wanted: &str) {
    if updating() {
        fs::write(root().join(page), wanted).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(root().join(page)).unwrap_or_default() == wanted,
        "{page} is not what the source says: `make reference` writes it anew; look at the difference"
    );
}

/// A text in one cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
