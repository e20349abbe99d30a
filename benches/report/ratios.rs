//! A few ratios of the dev build beside those that are checked in: what became much worse is noticed with the change that
//! made it so.

use std::collections::{BTreeMap, BTreeSet};

use super::Spread;

/// The ratios that are checked in, by name. Of each, less is better.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ratios.json");
/// So many times what is checked in is too much.
const TOO_MUCH: f64 = 1.3;
/// It has to be too much so often: machines are shared.
const RUNS: usize = 3;

/// Ratios by name.
pub type Ratios = BTreeMap<String, f64>;

/// Measures each part and compares its ratios; the parts of those that are too much again.
///
/// # Errors
/// What was too much in each run, with what to do.
pub async fn compare(parts: &[&'static str], mut measure: impl AsyncFnMut(&str) -> Ratios) -> Result<(), String> {
    let kept = read();
    let mut left: BTreeSet<&str> = parts.iter().copied().collect();
    let mut reasons = Vec::new();
    for run in 1..=RUNS {
        reasons.clear();
        for part in left.clone() {
            let worse = worse(&measure(part).await, &kept, run);
            if worse.is_empty() {
                left.remove(part);
            }
            reasons.extend(worse);
        }
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(format!(
        "Too much in each of {RUNS} runs:\n  {}\nFind out what became dearer. If it is meant to be, `UPDATE=1 make \
         bench-quick` writes benches/ratios.json anew: commit it together with the reason.",
        reasons.join("\n  ")
    ))
}

/// Measures each part several times and keeps the medians.
pub async fn update(parts: &[&'static str], mut measure: impl AsyncFnMut(&str) -> Ratios) {
    let mut all = BTreeMap::<String, Vec<f64>>::new();
    for part in parts {
        for _ in 0..RUNS {
            for (name, ratio) in measure(part).await {
                println!("{name}: {ratio:.2}");
                all.entry(name).or_default().push(ratio);
            }
        }
    }
    let mut kept = read();
    kept.extend(all.into_iter().map(|(name, ratios)| (name, (Spread::of(ratios).median() * 1e2).round() / 1e2)));
    std::fs::write(FILE, serde_json::to_string_pretty(&kept).unwrap() + "\n").unwrap();
}

/// Prints them; those that are too much are given, too.
fn worse(measured: &Ratios, kept: &Ratios, run: usize) -> Vec<String> {
    let mut worse = Vec::new();
    for (name, ratio) in measured {
        let Some(kept) = kept.get(name) else {
            worse.push(format!("{name}: {ratio:.2}, and nothing is checked in"));
            continue;
        };
        let line = format!("{name}: {ratio:.2}, checked in: {kept:.2} ({:+.0} %)", (ratio / kept - 1.0) * 100.0);
        println!("run {run}: {line}");
        if *ratio > kept * TOO_MUCH {
            worse.push(line);
        }
    }
    worse
}

fn read() -> Ratios {
    let text = std::fs::read_to_string(FILE).unwrap_or_else(|_| "{}".to_owned());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{FILE}: {error}"))
}
