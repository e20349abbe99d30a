//! The page of annotations, from the constants that the code reads them by.

use std::fmt::Write;

use super::{GENERATED, cell, is_as_generated, read};

#[test]
fn the_page_of_annotations_is_what_the_constants_say() {
    let source = read("src/api/annotations.rs");
    let (mut said, mut rows, mut count) = (Vec::new(), String::new(), 0);
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            said.push(text);
        } else if let Some((_, value)) = line.strip_prefix("pub const ").and_then(|it| it.split_once(": &str = \"")) {
            let key = value.trim_end_matches("\";");
            writeln!(rows, "| `{key}` | {} |", cell(&said.join(" "))).unwrap();
            count += 1;
            said.clear();
        } else {
            said.clear();
        }
    }
    assert!(count >= 9, "{rows}");
    let page = format!(
        "{GENERATED}# Annotations and labels\n\nAnnotations of the operator belong on the workload itself, never on its pod \
         template. What looks like one of them and is not read (a misspelt key, a label, an annotation on the pod template or on \
         a kind that is not handled) is said at admission and in an Event.\n\n| key | |\n|---|---|\n{rows}"
    );
    is_as_generated("docs/reference/annotations.md", &page);
}
