//! The version of a workload: from the annotation, the image tag or the label, in this order.
//!
//! - The annotation, where the environment allows it. With a tag pattern it is compared with the tag of the named or
//!   only container: it must be equal (a `+`, which no tag can hold, may be written `_` or `-` there: case
//!   15) or one must be a commit-sha prefix of the other, else it is a [`VersionProblem::Mismatch`]. Where the pattern
//!   finds no version in the tag, the annotation is compared with the whole tag: what cannot be checked is a mismatch.
//!   An image that is pinned by a digest alone has no tag to disagree with, so the annotation counts.
//! - The image tag of the named or only container, through the pattern if there is one.
//! - The label, where the environment's rules allow it, when the image gives no version: no container is named, or the
//!   tag is missing, mutable or outside the pattern.
//!
//! An annotation that the environment refuses is never used, and never silently ignored either: unless it agrees with
//! the version found without it, the result is a [`VersionProblem::AnnotationRefused`].

use super::image::{ImageReference, is_digest};
use super::{Container, VersionProblem, VersionRules, Workload};
use crate::api::annotations;
use crate::api::names::Version;

/// How many characters of a commit's sha are enough to identify the commit.
const MIN_SHA_PREFIX: usize = 7;

/// Where a version was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionSource {
    /// The annotation `pact-operator.dev/version`.
    Annotation,
    /// The image tag of the named or only container.
    ImageTag,
    /// The label `app.kubernetes.io/version`.
    Label,
}

/// A version that may be recorded and checked, and its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedVersion {
    /// The version, as it is sent to the broker.
    pub version: Version,
    /// Where it was found.
    pub source: VersionSource,
}

/// The version of a workload under the rules of one environment.
///
/// # Errors
/// Each [`VersionProblem`]; a version is never guessed.
pub fn resolve(workload: &Workload, rules: &VersionRules) -> Result<ResolvedVersion, VersionProblem> {
    if let Some(canary) = workload.canary_owner.as_ref().filter(|canary| canary.unpromoted) {
        return Err(VersionProblem::Unpromoted { canary: canary.name.clone() });
    }
    let stated = workload.annotations.version.as_deref();
    match stated {
        Some(text) if rules.annotation_allowed => {
            let version = judge(text, rules)?;
            check_against_tag(&version, workload, rules)?;
            Ok(ResolvedVersion { version, source: VersionSource::Annotation })
        }
        Some(text) => match unannotated(workload, rules) {
            Ok(found) if agrees(text.trim(), found.version.as_str()) => Ok(found),
            otherwise => Err(VersionProblem::AnnotationRefused {
                annotation: text.to_owned(),
                otherwise: otherwise.map(|found| found.version).map_err(Box::new),
            }),
        },
        None => unannotated(workload, rules),
    }
}

/// The container whose image counts: the one named by our annotation, or the only one, or the one that the owner has
/// named as the default for people (case 87).
///
/// # Errors
/// When there is none, the named one is missing, or there are several and none is named.
pub fn chosen_container(workload: &Workload) -> Result<&Container, VersionProblem> {
    let names = || workload.containers.iter().map(|container| container.name.clone()).collect();
    if let Some(name) = workload.annotations.container.as_deref() {
        let chosen = workload.containers.iter().find(|container| container.name == name.trim());
        return chosen.ok_or_else(|| VersionProblem::ContainerMissing { name: name.to_owned(), names: names() });
    }
    match workload.containers.as_slice() {
        [] => Err(VersionProblem::NoContainers),
        [only] => Ok(only),
        several => several
            .iter()
            .find(|container| Some(container.name.as_str()) == workload.default_container.as_deref())
            .ok_or_else(|| VersionProblem::AmbiguousContainer { names: names() }),
    }
}

/// The repository of the image that counts, without its registry; `None` where it is not known which one does.
#[must_use]
pub fn image_path(workload: &Workload) -> Option<Box<str>> {
    let image = ImageReference::parse(&chosen_container(workload).ok()?.image);
    Some(image.path()).filter(|path| !path.is_empty()).map(Box::from)
}

/// The annotation or label that stayed while the image became another build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleSource {
    /// Which of them.
    pub source: VersionSource,
    /// What it says.
    pub stated: String,
    /// The image where the environment checks versions against tags and this one has none: then it is a mismatch.
    pub untagged: Option<String>,
}

/// Whether the image became another build while the annotation or label that says the version stayed: the commonest
/// human error (cases 14, 82 and 83). One that agrees with the new tag has been waiting for it. Where no container
/// counts, any image may be the one.
#[must_use]
pub fn stale_source(old: &Workload, new: &Workload, rules: &VersionRules) -> Option<StaleSource> {
    if new.annotations.version.is_none() && new.version_label.is_none() {
        // Only the image says it.
        return None;
    }
    let source = resolve(new, rules).ok()?.source;
    let stated_by = |workload: &Workload| match source {
        VersionSource::Annotation => workload.annotations.version.clone(),
        VersionSource::Label => workload.version_label.clone(),
        VersionSource::ImageTag => None,
    };
    let stated = stated_by(new)?;
    if stated_by(old).as_ref() != Some(&stated) {
        return None;
    }
    let stale = |untagged| Some(StaleSource { source, stated: stated.clone(), untagged });
    let (Ok(before), Ok(after)) = (chosen_container(old), chosen_container(new)) else {
        let images = |workload: &Workload| workload.containers.iter().map(|it| it.image.clone()).collect::<Vec<_>>();
        return stale(None).filter(|_| images(old) != images(new));
    };
    let image = ImageReference::parse(&after.image);
    if !image.is_another_build(&ImageReference::parse(&before.image)) {
        return None;
    }
    match image.tag {
        Some(tag) if agrees(stated.trim(), &tag) => None,
        None if rules.tag_pattern.is_some() => stale(Some(image.to_string())),
        _ => stale(None),
    }
}

impl StaleSource {
    /// The problem that it is where the environment checks versions.
    #[must_use]
    pub fn mismatch(&self) -> Option<VersionProblem> {
        let image = self.untagged.clone()?;
        let label = self.source == VersionSource::Label;
        let key = if label { annotations::VERSION_LABEL } else { annotations::VERSION };
        Some(VersionProblem::Stale { key, stated: self.stated.clone(), image })
    }
}

/// Whether an annotated version and the text of a tag name the same build.
#[must_use]
pub fn agrees(annotation: &str, tag: &str) -> bool {
    annotation == tag
        || (annotation.contains('+') && ["_", "-"].iter().any(|plus| annotation.replace('+', plus) == tag))
        || is_sha_prefix(annotation, tag)
        || is_sha_prefix(tag, annotation)
}

/// Whether `short` is the beginning of the commit sha `long`. Texts of digits alone are more likely build numbers or
/// dates, unless the longer one is a complete sha.
fn is_sha_prefix(short: &str, long: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let whole = matches!(long.len(), 40 | 64);
    let letters = short.bytes().any(|byte| byte.is_ascii_alphabetic());
    (MIN_SHA_PREFIX..=long.len()).contains(&short.len())
        && long.len() <= 64
        && hex(short)
        && hex(long)
        && (whole || letters)
        && long.as_bytes()[..short.len()].eq_ignore_ascii_case(short.as_bytes())
}

/// A text as a version: a name that a broker can hold, which is neither `latest`, nor a digest, nor denied.
fn judge(text: &str, rules: &VersionRules) -> Result<Version, VersionProblem> {
    let version = Version::parse(text)?;
    let text = version.as_str();
    if is_digest(text) {
        return Err(VersionProblem::BareDigest { text: text.to_owned() });
    }
    if text.eq_ignore_ascii_case("latest") || rules.denied.denies(text).is_some() {
        return Err(VersionProblem::Mutable { text: text.to_owned() });
    }
    Ok(version)
}

fn check_against_tag(version: &Version, workload: &Workload, rules: &VersionRules) -> Result<(), VersionProblem> {
    let Some(pattern) = &rules.tag_pattern else { return Ok(()) };
    let image = ImageReference::parse(&chosen_container(workload)?.image);
    let Some(tag) = image.tag else {
        let pinned = image.digest.is_some();
        return if pinned { Ok(()) } else { Err(VersionProblem::NoTag { image: image.to_string() }) };
    };
    judge(&tag, rules)?;
    let tag = pattern.version_in(&tag).unwrap_or(&tag);
    if agrees(version.as_str(), tag) {
        return Ok(());
    }
    Err(VersionProblem::Mismatch { annotation: version.to_string(), tag: tag.to_owned() })
}

fn unannotated(workload: &Workload, rules: &VersionRules) -> Result<ResolvedVersion, VersionProblem> {
    let problem = match from_tag(workload, rules) {
        Ok(version) => return Ok(ResolvedVersion { version, source: VersionSource::ImageTag }),
        Err(problem) => problem,
    };
    match workload.version_label.as_deref() {
        Some(label) if rules.use_label && gives_way_to_the_label(&problem) => {
            Ok(ResolvedVersion { version: judge(label, rules)?, source: VersionSource::Label })
        }
        _ => Err(problem),
    }
}

/// Whether the image merely has no usable version. A wrong container name or a malformed tag is a mistake that must be
/// reported, and that a label must not hide.
fn gives_way_to_the_label(problem: &VersionProblem) -> bool {
    matches!(
        problem,
        VersionProblem::NoContainers
            | VersionProblem::AmbiguousContainer { .. }
            | VersionProblem::NoTag { .. }
            | VersionProblem::DigestOnly { .. }
            | VersionProblem::BareDigest { .. }
            | VersionProblem::Mutable { .. }
            | VersionProblem::PatternMismatch { .. }
    )
}

fn from_tag(workload: &Workload, rules: &VersionRules) -> Result<Version, VersionProblem> {
    let image = ImageReference::parse(&chosen_container(workload)?.image);
    let Some(tag) = image.tag else {
        let shown = image.to_string();
        return Err(match image.digest {
            Some(_) => VersionProblem::DigestOnly { image: shown },
            None => VersionProblem::NoTag { image: shown },
        });
    };
    // The whole tag is judged first: a `-dirty` that the pattern leaves out must not pass.
    let whole = judge(&tag, rules)?;
    let Some(pattern) = &rules.tag_pattern else { return Ok(whole) };
    match pattern.version_in(&tag) {
        Some(version) => judge(version, rules),
        None => Err(VersionProblem::PatternMismatch { pattern: pattern.as_str().to_owned(), tag }),
    }
}

#[cfg(test)]
#[path = "version_tests.rs"]
mod tests;
