//! Manifests: what `helm template` and `kustomize build` print, read from files, folders or standard input.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::super::process::Failure;
use crate::{
    decide::admission::GroupVersionKind,
    workload::{Dispatch, Kind, View, Workload, WorkloadKind},
};

/// One object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manifest {
    /// The file, as it was found; `-` is standard input.
    pub(super) file: String,
    /// The object, as it is written.
    object: Value,
}

/// A workload, read as what it says it is.
struct ReadManifest<'a>(&'a Value);

impl Dispatch for ReadManifest<'_> {
    type Output = Result<Workload, String>;

    fn with<K: Kind>(self) -> Self::Output {
        let object = View::<K>::deserialize(self.0).map_err(|error| error.to_string())?;
        Ok(object.observe(Timestamp::now()))
    }
}

impl Manifest {
    fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// What it is.
    pub(super) fn kind(&self) -> GroupVersionKind {
        let api_version = self.text("/apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        GroupVersionKind { group: group.to_owned(), version: version.to_owned(), kind: self.text("/kind").to_owned() }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The workload, if it is of a kind that the operator knows, or why it cannot be read. `namespace` is where it goes
    /// when it does not say so.
    pub(super) fn workload(&self, namespace: &str) -> Option<(WorkloadKind, Result<Workload, String>)> {
        let kind = self.kind().known()?;
        let read = kind.dispatch(ReadManifest(&self.object)).map(|mut workload| {
            if workload.reference.namespace.is_empty() {
                namespace.clone_into(&mut workload.reference.namespace);
            }
            workload
        });
        Some((kind, read))
    }

    /// The object as one of this kind; `None` when it is another.
    ///
    /// # Errors
    /// When it is one and cannot be read.
    pub(super) fn read<T: DeserializeOwned>(&self, group: &str, kind: &str) -> Result<Option<T>, Failure> {
        let own = self.kind();
        if (own.group.as_str(), own.kind.as_str()) != (group, kind) {
            return Ok(None);
        }
        T::deserialize(&self.object)
            .map(Some)
            .map_err(|error| format!("{}: the {kind} {} cannot be read: {error}", self.file, self.name()).into())
    }
}

/// Reads every object below these paths; `-` is standard input.
///
/// # Errors
/// When a file cannot be read, or is not YAML.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Manifest>, Failure> {
    let mut manifests = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input cannot be read: {error}"))?;
            parse("-", &text, &mut manifests)?;
            continue;
        }
        let mut files = Vec::new();
        find(path, true, &mut files)?;
        for file in files {
            let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            parse(&file.display().to_string(), &text, &mut manifests)?;
        }
    }
    Ok(manifests)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}; name another file or folder", path.display())
}

/// The file itself, or every YAML and JSON file below the folder, in the order of their names.
fn find(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        let mut paths = entries.map(|entry| entry.map(|it| it.path())).collect::<Result<Vec<_>, _>>()?;
        paths.sort();
        paths.iter().try_for_each(|path| find(path, false, files))
    } else {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if named || matches!(ending, "yaml" | "yml" | "json") {
            files.push(path.to_path_buf());
        }
        Ok(())
    }
}

/// Reads the documents of a file, the items of its lists one by one.
fn parse(file: &str, text: &str, manifests: &mut Vec<Manifest>) -> Result<(), Failure> {
    for (number, document) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let object = Value::deserialize(document)
            .map_err(|error| format!("{file}: document {} is not YAML of an object: {error}", number + 1))?;
        match object {
            Value::Object(mut list) if list.get("kind").and_then(Value::as_str).is_some_and(is_list) => {
                let Some(Value::Array(items)) = list.remove("items") else { continue };
                manifests.extend(items.into_iter().map(|object| Manifest { file: file.to_owned(), object }));
            }
            Value::Object(_) => manifests.push(Manifest { file: file.to_owned(), object }),
            Value::Null => {}
            _ => return Err(format!("{file}: document {} is no object", number + 1).into()),
        }
    }
    Ok(())
}

fn is_list(kind: &str) -> bool {
    kind == "List" || kind.strip_suffix("List").is_some_and(|of| !of.is_empty())
}

#[cfg(test)]
#[path = "manifests_tests.rs"]
mod tests;
