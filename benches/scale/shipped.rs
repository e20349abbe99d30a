//! How large what is shipped is: the binary, and the image around it.

use std::path::Path;
use std::process::Command;

use crate::report::{Goal, Report, mib};
use testbed::replica::binary;

/// The script that lays out the image's files.
const ROOTFS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/rootfs.sh");

pub fn measure(report: &mut Report) {
    let folder = tempfile::tempdir().unwrap();
    let laid_out = Command::new(ROOTFS).arg(binary()).arg(folder.path()).output().unwrap();
    assert!(laid_out.status.success(), "{ROOTFS}: {}", String::from_utf8_lossy(&laid_out.stderr));
    // The script has stripped its copy.
    let stripped = bytes(&folder.path().join("usr/local/bin"));
    let image = bytes(folder.path());
    report.section(
        "What is shipped",
        "The binary without symbols, and all files of an image with it as `image/rootfs.sh` lays them out, not compressed.",
    );
    report.judged("binary", [&mib(stripped), "", ""], &Goal::at_most_mib(12.0, stripped));
    report.judged("image", [&mib(image), "", ""], &Goal::at_most_mib(20.0, image));
}

/// The sum of all files below a folder.
fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let size = |entry: std::fs::DirEntry| {
        if entry.file_type().unwrap().is_dir() { bytes(&entry.path()) } else { entry.metadata().unwrap().len() }
    };
    entries.map(size).sum()
}
