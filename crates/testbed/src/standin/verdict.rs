//! The matrix and the verdict over it, computed as the broker does, flaws included:
//!
//! - a pact is joined with the results of the *selected* provider versions; as soon as one of them verified it, the
//!   others, which did not, leave no row: an unverified version that lives beside a verified one is hidden;
//! - the limit cuts rows off before the verdict is computed;
//! - "not verified" outweighs "failed".

use std::collections::{BTreeSet, HashMap, HashSet};

use super::contracts::{Pact, Verification};
use super::store::State;
use super::versions::Version;

/// `latestby`: which rows of a group are kept; the newest result of a provider version for a pact always is the one
/// that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LatestBy {
    /// One row for each consumer version and provider version.
    Cvpv,
    /// One row for each consumer version and provider: hides older provider versions that are alive.
    Cvp,
    /// One row for each consumer and provider.
    Cp,
}

/// What a caller names: an application, and which version of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) pacticipant: String,
    pub(super) version: Option<String>,
    pub(super) latest: bool,
    pub(super) tag: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) main_branch: bool,
}

/// A question to the matrix.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    pub(super) selectors: Vec<Selector>,
    pub(super) ignore: Vec<Selector>,
    pub(super) environment: Option<String>,
    pub(super) latest: bool,
    pub(super) tag: Option<String>,
    pub(super) main_branch: bool,
    pub(super) latest_by: Option<LatestBy>,
    pub(super) limit: Option<usize>,
}

/// How a version came to be selected; decides how it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    Given,
    Latest,
    Tag { name: String, latest: bool },
    Branch { name: String, latest: bool },
    Environment(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Any,
    Missing(Option<String>),
    One(String),
}

#[derive(Clone, Debug)]
struct Selected {
    pacticipant: String,
    which: Which,
    how: How,
    specified: bool,
    one_of_many: bool,
}

/// A row: a pact, and the result of one provider version or none.
#[derive(Clone, Debug)]
pub(super) struct MatrixRow<'a> {
    pub(super) pact: &'a Pact,
    pub(super) result: Option<&'a Verification>,
    pub(super) ignored: bool,
}

/// The answer.
#[derive(Clone, Debug)]
pub(super) struct Verdict<'a> {
    pub(super) deployable: Option<bool>,
    pub(super) success: usize,
    pub(super) failed: usize,
    pub(super) unknown: usize,
    /// Only when the question named something to ignore.
    pub(super) ignored: Option<usize>,
    /// Type and text.
    pub(super) notices: Vec<(&'static str, String)>,
    /// The rows considered, then those ignored.
    pub(super) rows: Vec<MatrixRow<'a>>,
}

impl Selected {
    fn matches(&self, pacticipant: &str, version: &str) -> bool {
        self.pacticipant == pacticipant
            && match &self.which {
                Which::Any => true,
                Which::One(number) => number == version,
                Which::Missing(_) => false,
            }
    }

    fn describe(&self) -> String {
        let name = &self.pacticipant;
        match (&self.how, &self.which) {
            (_, Which::Any) => format!("any version of {name}"),
            (How::Given, Which::One(number)) => format!("version {number} of {name}"),
            (How::Given, Which::Missing(number)) => {
                format!("version {} of {name} (no such version exists)", number.as_deref().unwrap_or_default())
            }
            (How::Environment(environment), Which::One(number)) => {
                let versions = if self.one_of_many { "one of the versions" } else { "the version" };
                format!("{versions} of {name} currently in {environment} ({number})")
            }
            (How::Environment(environment), Which::Missing(_)) => {
                let none = "no version is currently recorded as deployed/released in this environment";
                format!("a version of {name} currently in {environment} ({none})")
            }
            (how, which) => {
                let each = matches!(how, How::Tag { latest: false, .. } | How::Branch { latest: false, .. });
                let article = if each { "a" } else { "the latest" };
                let tagged = match how {
                    How::Tag { name, .. } => format!(" with tag {name}"),
                    How::Branch { name, .. } => format!(" from branch {name}"),
                    _ => String::new(),
                };
                let number = if let Which::One(number) = which { number } else { "no such version exists" };
                format!("{article} version of {name}{tagged} ({number})")
            }
        }
    }
}

impl MatrixRow<'_> {
    pub(super) fn success(&self) -> Option<bool> {
        self.result.map(|result| result.success)
    }

    fn provider_version(&self) -> Option<&str> {
        self.result.map(|result| result.provider_version.as_str())
    }
}

/// Two applications with a contract; `required` when the asker cannot do without the provider.
#[derive(Clone, Debug)]
struct Integration {
    consumer: String,
    provider: String,
    required: bool,
}

impl State {
    /// The versions of a pacticipant that are deployed or supported in an environment, newest first.
    fn live_versions(&self, environment: &str, pacticipant: &str) -> Vec<String> {
        let Some(uuid) = self.environments.uuid_of(environment) else { return Vec::new() };
        let deployed = self.deployments.current(uuid, Some(pacticipant)).into_iter().map(|row| &row.version);
        let supported = self.releases.supported(uuid, Some(pacticipant)).into_iter().map(|row| &row.version);
        let versions: BTreeSet<_> =
            deployed.chain(supported).map(|number| (self.order(pacticipant, number), number)).collect();
        versions.into_iter().rev().map(|(_, number)| number.clone()).collect()
    }

    fn order(&self, pacticipant: &str, number: &str) -> usize {
        self.version(pacticipant, number).map_or(0, |version| version.order)
    }

    fn tagged(&self, pacticipant: &str, tag: &str, latest: bool) -> Vec<String> {
        self.versions_where(pacticipant, latest, |version| version.tags.iter().any(|known| known == tag))
    }

    fn of_branch(&self, pacticipant: &str, branch: &str, latest: bool) -> Vec<String> {
        self.versions_where(pacticipant, latest, |version| version.branches.iter().any(|known| known == branch))
    }

    /// The versions for which `wanted` holds, newest first.
    fn versions_where(&self, pacticipant: &str, latest: bool, wanted: impl Fn(&Version) -> bool) -> Vec<String> {
        let known = self.pacticipants.get(pacticipant).into_iter().flat_map(|known| &known.versions);
        let mut found: Vec<_> = known.filter(|(_, version)| wanted(version)).collect();
        found.sort_by_key(|(_, version)| std::cmp::Reverse(version.order));
        found.truncate(if latest { 1 } else { usize::MAX });
        found.into_iter().map(|(number, _)| number.clone()).collect()
    }

    /// The branch that a broker takes for the main one of an application that names none.
    fn main_branch(&self, pacticipant: &str) -> &'static str {
        let candidates = ["develop", "main", "master"];
        candidates.into_iter().find(|branch| !self.of_branch(pacticipant, branch, true).is_empty()).unwrap_or("main")
    }

    fn select(&self, selector: &Selector, environment: Option<&str>, specified: bool) -> Vec<Selected> {
        let name = &selector.pacticipant;
        let main = selector.main_branch.then(|| self.main_branch(name).to_owned());
        let branch = selector.branch.clone().or(main);
        let (how, numbers) = match (&selector.version, environment, &selector.tag) {
            (Some(number), ..) => {
                let known = self.has_version(name, number);
                (How::Given, if known { vec![number.clone()] } else { Vec::new() })
            }
            (None, Some(environment), _) => {
                (How::Environment(environment.to_owned()), self.live_versions(environment, name))
            }
            (None, None, Some(tag)) => {
                let how = How::Tag { name: tag.clone(), latest: selector.latest };
                (how, self.tagged(name, tag, selector.latest))
            }
            (None, None, None) if let Some(branch) = branch => {
                let numbers = self.of_branch(name, &branch, selector.latest);
                (How::Branch { name: branch, latest: selector.latest }, numbers)
            }
            (None, None, None) if selector.latest => {
                let latest = self.pacticipants.get(name).and_then(|known| known.latest.clone());
                (How::Latest, latest.into_iter().collect())
            }
            (None, None, None) => {
                let pacticipant = name.clone();
                return vec![Selected {
                    pacticipant,
                    which: Which::Any,
                    how: How::Given,
                    specified,
                    one_of_many: false,
                }];
            }
        };
        let one_of_many = numbers.len() > 1;
        let mut which: Vec<_> = numbers.into_iter().map(Which::One).collect();
        if which.is_empty() {
            which.push(Which::Missing(selector.version.clone()));
        }
        let selected = |which| Selected { pacticipant: name.clone(), which, how: how.clone(), specified, one_of_many };
        which.into_iter().map(selected).collect()
    }

    /// The pacts published by the selected versions of consumers.
    fn pacts_of_selected(&self, selected: &Selected) -> Vec<&Pact> {
        let consumer = &selected.pacticipant;
        match &selected.which {
            Which::Missing(_) => Vec::new(),
            Which::One(number) => self.pacts_of(consumer, number).collect(),
            Which::Any => {
                let versions = self.pacticipants.get(consumer).into_iter().flat_map(|known| known.versions.keys());
                versions.flat_map(|number| self.pacts_of(consumer, number)).collect()
            }
        }
    }

    fn integrations(&self, selected: &[Selected], infer: bool) -> Vec<Integration> {
        let mut found: Vec<Integration> = Vec::new();
        let mut add = |consumer: &str, provider: &str, required: bool| {
            if !found.iter().any(|known| known.consumer == consumer && known.provider == provider) {
                found.push(Integration { consumer: consumer.to_owned(), provider: provider.to_owned(), required });
            }
        };
        let involving_any = infer || selected.len() == 1;
        let is_selected = |name: &str| selected.iter().any(|selected| selected.pacticipant == name);
        for selector in selected {
            for pact in self.pacts_of_selected(selector) {
                if involving_any || is_selected(&pact.provider) {
                    add(&pact.consumer, &pact.provider, true);
                }
            }
        }
        if involving_any {
            for selector in selected {
                for consumer in self.consumers_of(&selector.pacticipant) {
                    add(consumer, &selector.pacticipant, false);
                }
            }
        }
        found
    }

    /// Answers a question.
    pub(super) fn verdict(&self, question: &Question) -> Verdict<'_> {
        let ignore: Vec<_> = question.ignore.iter().flat_map(|selector| self.select(selector, None, false)).collect();
        let mut selected: Vec<_> =
            question.selectors.iter().flat_map(|selector| self.select(selector, None, true)).collect();
        let infer = question.environment.is_some() || question.latest || question.tag.is_some() || question.main_branch;
        let integrations = self.integrations(&selected, infer);
        if infer {
            let involved: BTreeSet<_> =
                integrations.iter().flat_map(|found| [&found.consumer, &found.provider]).collect();
            let given: HashSet<_> = question.selectors.iter().map(|selector| &selector.pacticipant).collect();
            for name in involved.into_iter().filter(|name| !given.contains(name)) {
                let selector = Selector {
                    pacticipant: name.clone(),
                    latest: question.latest,
                    tag: question.tag.clone(),
                    main_branch: question.main_branch,
                    ..Selector::default()
                };
                selected.extend(self.select(&selector, question.environment.as_deref(), false));
            }
        }
        let mut rows = if let [only] = selected.as_slice() {
            self.rows_of_one(only, question.latest_by.is_some())
        } else {
            self.rows_between(&selected, question.latest_by.is_some())
        };
        rows.sort_by_cached_key(|row| std::cmp::Reverse(self.last_action(row)));
        rows.truncate(question.limit.unwrap_or(usize::MAX));
        if let Some(by) = question.latest_by {
            rows = latest_of_groups(rows, by);
        }
        for row in &mut rows {
            row.ignored = ignore.iter().any(|ignored| {
                let Pact { consumer, consumer_version, provider, .. } = row.pact;
                let is_any = ignored.which == Which::Any && ignored.pacticipant == *provider;
                let is_provider = row.provider_version().is_some_and(|number| ignored.matches(provider, number));
                ignored.matches(consumer, consumer_version) || is_any || is_provider
            });
        }
        rows.sort_by_cached_key(|row| {
            let Pact { consumer, consumer_version, provider, .. } = row.pact;
            let provider_order = row.provider_version().map(|number| self.order(provider, number));
            let newest = |order| std::cmp::Reverse(order);
            let consumer_order = newest(Some(self.order(consumer, consumer_version)));
            let result_order = newest(row.result.map(|result| result.order));
            (row.ignored, consumer, consumer_order, provider, newest(provider_order), result_order)
        });
        summed_up(&selected, &ignore, &integrations, rows)
    }

    /// When the younger of the two versions came to be; then the pact, then the result.
    fn last_action(&self, row: &MatrixRow<'_>) -> (usize, usize, Option<usize>) {
        let Pact { consumer, consumer_version, provider, order, .. } = row.pact;
        let provider_order = row.provider_version().map_or(0, |number| self.order(provider, number));
        (provider_order.max(self.order(consumer, consumer_version)), *order, row.result.map(|result| result.order))
    }

    /// With a single selector every result counts, since there is no other selector.
    fn rows_of_one(&self, selected: &Selected, newest_only: bool) -> Vec<MatrixRow<'_>> {
        let mut rows = Vec::new();
        for pact in self.pacts_of_selected(selected) {
            joined(pact, self.results(pact, newest_only, |_| true), &mut rows);
        }
        let any = |name: &str| Selected { pacticipant: name.to_owned(), which: Which::Any, ..selected.clone() };
        for consumer in self.consumers_of(&selected.pacticipant) {
            for pact in self.pacts_of_selected(&any(consumer)) {
                let known =
                    pact.provider == selected.pacticipant && !selected.matches(consumer, &pact.consumer_version);
                if known {
                    let by = |number: &str| selected.matches(&pact.provider, number);
                    let results = self.results(pact, newest_only, by);
                    rows.extend(results.into_iter().map(|result| MatrixRow {
                        pact,
                        result: Some(result),
                        ignored: false,
                    }));
                }
            }
        }
        rows
    }

    fn rows_between(&self, selected: &[Selected], newest_only: bool) -> Vec<MatrixRow<'_>> {
        let mut by_name: HashMap<&str, Vec<&Selected>> = HashMap::new();
        for selected in selected {
            by_name.entry(&selected.pacticipant).or_default().push(selected);
        }
        let is_specified =
            |name: &str| by_name.get(name).is_some_and(|found| found.iter().any(|found| found.specified));
        let mut rows = Vec::new();
        let mut seen = HashSet::new();
        for selector in selected {
            for pact in self.pacts_of_selected(selector) {
                let Some(providers) = by_name.get(pact.provider.as_str()) else { continue };
                if !(is_specified(&pact.consumer) || is_specified(&pact.provider)) || !seen.insert(pact.order) {
                    continue;
                }
                let by = |number: &str| providers.iter().any(|selected| selected.matches(&pact.provider, number));
                joined(pact, self.results(pact, newest_only, by), &mut rows);
            }
        }
        rows
    }

    /// The results for a pact by the provider versions wanted; of each version only the newest, or all.
    fn results<'a>(&'a self, pact: &Pact, newest_only: bool, by: impl Fn(&str) -> bool) -> Vec<&'a Verification> {
        let all = self.verifications_of(pact).iter().rev().filter(|result| by(&result.provider_version));
        let mut seen = HashSet::new();
        all.filter(|result| !newest_only || seen.insert(result.provider_version.as_str())).collect()
    }
}

/// The left outer join: a pact without any result still is a row.
fn joined<'a>(pact: &'a Pact, results: Vec<&'a Verification>, rows: &mut Vec<MatrixRow<'a>>) {
    if results.is_empty() {
        rows.push(MatrixRow { pact, result: None, ignored: false });
    }
    rows.extend(results.into_iter().map(|result| MatrixRow { pact, result: Some(result), ignored: false }));
}

/// The first row of each group; where that one has no provider version, the whole group.
fn latest_of_groups(rows: Vec<MatrixRow<'_>>, by: LatestBy) -> Vec<MatrixRow<'_>> {
    let mut first_has_version: HashMap<_, bool> = HashMap::new();
    let mut kept = Vec::new();
    for row in rows {
        let Pact { consumer, consumer_version, provider, .. } = row.pact;
        let consumer_version = (by != LatestBy::Cp).then_some(consumer_version);
        let provider_version = row.provider_version().map(str::to_owned);
        let has_version = provider_version.is_some();
        let provider_version = provider_version.filter(|_| by == LatestBy::Cvpv);
        let group = (consumer, consumer_version, provider, provider_version);
        match first_has_version.get(&group) {
            Some(true) => continue,
            Some(false) => {}
            None => {
                first_has_version.insert(group, has_version);
            }
        }
        kept.push(row);
    }
    kept
}

/// The selection that describes one side of a row: the one that selected this version; where there is no version, the
/// only one of that application, or else what the first row that names it says.
fn description(selected: &[Selected], rows: &[&MatrixRow<'_>], name: &str, version: Option<&str>) -> String {
    let of_name: Vec<_> = selected.iter().filter(|selected| selected.pacticipant == name).collect();
    let selected = match (version, of_name.as_slice()) {
        (Some(version), _) => of_name.iter().find(|selected| selected.matches(name, version)).copied(),
        (None, [only]) => Some(*only),
        (None, _) => None,
    };
    if let Some(selected) = selected {
        return selected.describe();
    }
    let sides = rows.iter().flat_map(|row| {
        let Pact { consumer, consumer_version, provider, .. } = row.pact;
        [(consumer, Some(consumer_version.as_str())), (provider, row.provider_version())]
    });
    let first = sides.into_iter().find(|(known, _)| *known == name);
    match version.or(first.and_then(|(_, version)| version)) {
        Some(version) => format!("version {version} of {name}"),
        None => format!("any version of {name}"),
    }
}

fn summed_up<'a>(
    selected: &[Selected],
    ignore: &[Selected],
    integrations: &[Integration],
    rows: Vec<MatrixRow<'a>>,
) -> Verdict<'a> {
    let considered: Vec<_> = rows.iter().filter(|row| !row.ignored).collect();
    let has_row = |wanted: &Integration| {
        rows.iter().any(|row| row.pact.consumer == wanted.consumer && row.pact.provider == wanted.provider)
    };
    let without_a_row: Vec<_> = integrations.iter().filter(|found| found.required && !has_row(found)).collect();
    let count = |wanted: Option<bool>| considered.iter().filter(|row| row.success() == wanted).count();
    let (success, failed, unverified) = (count(Some(true)), count(Some(false)), count(None));
    let unknown = unverified + without_a_row.len();
    let missing = |selected: &&Selected| selected.specified && matches!(selected.which, Which::Missing(_));
    let missing: Vec<_> = selected.iter().filter(missing).collect();
    let deployable = match (missing.is_empty(), unknown) {
        (false, _) => Some(false),
        (true, 0) => Some(failed == 0),
        (true, _) => None,
    };

    let describe = |name: &str, version: Option<&str>| description(selected, &considered, name, version);
    let between = |row: &MatrixRow<'_>| {
        let consumer = describe(&row.pact.consumer, Some(&row.pact.consumer_version));
        (consumer, describe(&row.pact.provider, row.provider_version()))
    };
    let no_pact = |(consumer, provider)| format!("There is no verified pact between {consumer} and {provider}");
    let mut texts = Vec::new();
    for selected in &missing {
        let Which::Missing(Some(number)) = &selected.which else { continue };
        let name = &selected.pacticipant;
        texts.push(format!("No pacts or verifications have been published for version {number} of {name}"));
    }
    if missing.is_empty() {
        texts.extend(
            without_a_row
                .iter()
                .map(|found| no_pact((describe(&found.consumer, None), describe(&found.provider, None)))),
        );
        texts.extend(considered.iter().filter(|row| row.success() == Some(false)).map(|row| {
            let (consumer, provider) = between(row);
            format!("The verification for the pact between {consumer} and {provider} failed")
        }));
        texts.extend(considered.iter().filter(|row| row.success().is_none()).map(|row| no_pact(between(row))));
    }
    let mut seen = HashSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    let unknown_to_ignore = ignore.iter().filter(|ignored| matches!(ignored.which, Which::Missing(_)));
    let mut notices: Vec<_> =
        unknown_to_ignore.map(|ignored| ("warning", format!("WARN: Cannot ignore {}", ignored.describe()))).collect();
    if texts.is_empty() {
        let all_verified = "All required verification results are published and successful";
        let nothing_to_do = "There are no missing dependencies";
        notices.push(("success", if considered.is_empty() { nothing_to_do } else { all_verified }.to_owned()));
    } else {
        notices.extend(texts.into_iter().map(|text| ("error", text)));
    }
    let ignored = (!ignore.is_empty()).then(|| rows.len() - considered.len());
    drop(considered);
    Verdict { deployable, success, failed, unknown, ignored, notices, rows }
}
