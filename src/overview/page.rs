//! The picture as one HTML file, which asks nobody for anything.
//!
//! What it shows is in the HTML, so it can be read without its script; that draws the maps and filters. Names are free text:
//! each goes through [`escaped`] or, in the data of the script, through [`json_in_html`]. The page's policy lets run nothing
//! but this one script.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Application, Environment, Overview, Relation, State, document, headline, headline::Piece};
use crate::decide::messages;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How many of the pairs that are wrong the top of the page names.
const NAMED: usize = 3;

/// The page.
#[must_use]
pub fn page(overview: &Overview) -> String {
    let (tone, sentence) = overview.sentence();
    let environments = || overview.environments.iter().enumerate();
    let names: BTreeSet<_> =
        overview.environments.iter().flat_map(|it| &it.applications).map(|it| it.pacticipant.as_str()).collect();
    let moment = overview.generated_at;
    filled(TEMPLATE, |part| match part {
        "policy" => policy(),
        // No element isolates a name there: what would turn the text around it is no part of a name as it is shown.
        "title" => format!("{} · contracts", escaped(&headline::plain(&sentence))),
        "style" => STYLE.to_owned(),
        "tone" => tone.name().to_owned(),
        "headline" => isolated(&sentence),
        "worst" => worst(overview),
        "moment" => escaped(&moment.to_string()),
        "when" => escaped(&moment.strftime("%-d %B %Y, %H:%M UTC").to_string()),
        "cards" => cards(overview),
        "options" => environments().map(|(number, it)| choice(&number.to_string(), &title(overview, it))).collect(),
        "names" => names.iter().map(|name| choice(name, "")).collect(),
        "states" => State::ALL.into_iter().map(state_box).collect(),
        "environments" => environments().map(|(number, it)| section(number, it, broker(overview, it))).collect(),
        "data" => json_in_html(&document(overview)),
        "script" => SCRIPT.to_owned(),
        _ => String::new(),
    })
}

/// A template with its `{{parts}}`; what is put in is not looked at again.
fn filled(template: &str, part: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for (number, piece) in template.split("{{").enumerate() {
        match piece.split_once("}}") {
            Some((name, rest)) if number > 0 => text.extend([part(name).as_str(), rest]),
            _ => text.push_str(piece),
        }
    }
    text
}

/// What the page may do: run its own script, and apply its own style.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!(
        "default-src 'none'; style-src {style}; script-src {script}; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

/// A text as content or in an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

/// A name: whatever the direction in which it is written, what is around it stays in place.
fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", escaped(text))
}

/// A sentence with its names.
fn isolated(sentence: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => escaped(text),
        Piece::Name(text) => name(text),
    };
    sentence.iter().map(piece).collect()
}

/// A document in a script element: nothing in it ends the element. Outside of texts JSON has none of these characters.
fn json_in_html(document: &Value) -> String {
    document.to_string().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// The broker of an environment, where there are several in the picture.
fn broker<'a>(overview: &Overview, environment: &'a Environment) -> Option<&'a str> {
    let several = overview.environments.iter().any(|other| other.broker != environment.broker);
    environment.broker.as_deref().filter(|_| several)
}

fn title(overview: &Overview, environment: &Environment) -> String {
    match broker(overview, environment) {
        Some(broker) => format!("{} at {broker}", environment.name),
        None => environment.name.to_string(),
    }
}

fn choice(value: &str, text: &str) -> String {
    format!("<option value=\"{}\">{}</option>", escaped(value), escaped(text))
}

fn note(note: &str) -> String {
    format!(" <span class=\"note\">{note}</span>")
}

/// A sample of the line that stands for a state on the map.
fn sample(state: State) -> String {
    let state = state.name();
    format!("<svg class=\"sample {state}\" viewBox=\"0 0 26 8\" aria-hidden=\"true\"><path d=\"M1 4h24\"/></svg>")
}

fn state_box(state: State) -> String {
    let (value, label, sample) = (state.name(), state.label(), sample(state));
    format!(
        "<label class=\"choice\"><input type=\"checkbox\" name=\"state\" value=\"{value}\" checked>{sample}{label} \
         <span class=\"count\"></span></label>\n"
    )
}

fn worst(overview: &Overview) -> String {
    let wrong: Vec<_> = overview.wrong().collect();
    // The headline names the only one.
    if wrong.len() < 2 {
        return String::new();
    }
    let named = wrong.iter().take(NAMED).map(|(environment, relation)| {
        let sentence = isolated(&headline::one(environment, relation));
        // In one piece: the line lays out its parts beside each other.
        format!("<li class=\"{}\">{}<span>{sentence}</span></li>\n", relation.state().name(), sample(relation.state()))
    });
    let more = match wrong.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("<li class=\"more\">and {more} more</li>\n"),
    };
    format!("<ul class=\"worst\">\n{}{more}</ul>\n", named.collect::<String>())
}

/// A line for each environment; one that is alone needs none.
fn cards(overview: &Overview) -> String {
    if overview.environments.len() < 2 {
        return String::new();
    }
    let card = |(number, it): (usize, &Environment)| {
        let (name, counts) = (name(&title(overview, it)), counts(it));
        format!("<li><a href=\"#environment-{number}\"><strong>{name}</strong> {counts}</a></li>\n")
    };
    let cards: String = overview.environments.iter().enumerate().map(card).collect();
    format!("<nav aria-label=\"Environments\"><ul class=\"cards\">\n{cards}</ul></nav>\n")
}

fn counts(environment: &Environment) -> String {
    if !environment.known {
        return "<span class=\"counts\"><span class=\"unverified\">not known</span></span>".to_owned();
    }
    let count = |state: State| match environment.count(state) {
        0 => None,
        count => Some(format!("<span class=\"{}\">{count} {}</span>", state.name(), state.label())),
    };
    let mut counts: Vec<_> = State::ALL.into_iter().filter_map(count).collect();
    match environment.ignored() {
        0 => {}
        ignored => counts.push(format!("<span>{ignored} ignored</span>")),
    }
    if counts.is_empty() {
        counts.push("<span>no pairs</span>".to_owned());
    }
    format!("<span class=\"counts\">{}</span>", counts.join(" "))
}

fn section(number: usize, environment: &Environment, broker: Option<&str>) -> String {
    let Environment { applications, pairs, notice, .. } = environment;
    let heading = name(environment.name.as_str());
    let broker = broker.map(|broker| format!(" <small>at {}</small>", name(broker)));
    let paragraph = |text: String| format!("<p class=\"notice\">{}</p>\n", escaped(&text));
    let notices: String = notice.clone().into_iter().chain(environment.chosen()).map(paragraph).collect();
    let rows: String = pairs.iter().enumerate().map(|(row, it)| pair_row(row, it)).collect();
    let plural = if applications.len() == 1 { "application" } else { "applications" };
    format!(
        "<section class=\"environment\" id=\"environment-{number}\" data-environment=\"{number}\" \
         aria-labelledby=\"name-{number}\">\n\
         <header><h2 id=\"name-{number}\">{heading}{broker}</h2>{counts}</header>\n{notices}\
         <div class=\"beside\">\n\
         <figure class=\"map\" hidden><div class=\"canvas\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Map of {place}\"></div><figcaption></figcaption></figure>\n\
         <div class=\"lists\">\n<table class=\"pairs\"><caption>Pairs</caption>\n<thead><tr><th scope=\"col\">State</th>\
         <th scope=\"col\">Consumer</th><th scope=\"col\">Provider</th><th scope=\"col\" class=\"links\">Broker</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table>\n<p class=\"none\"{none}>{nothing}</p>\n\
         <details><summary>{count} {plural} live here</summary>\n{applications}</details>\n</div></div></section>\n",
        broker = broker.unwrap_or_default(),
        place = escaped(environment.name.as_str()),
        counts = counts(environment),
        none = if pairs.is_empty() { "" } else { " hidden" },
        nothing = if environment.all_pairs().next().is_none() {
            "No pact binds what runs here."
        } else {
            "None of the pairs is among those chosen."
        },
        count = applications.len(),
        applications = application_table(applications),
    )
}

fn pair_row(row: usize, relation: &Relation) -> String {
    let (pair, state) = (&relation.pair, relation.state());
    let side = |pacticipant: &str, version: Option<&str>| {
        let version = version.map(|version| format!(" <code>{}</code>", name(version)));
        format!("{}{}", name(pacticipant), version.unwrap_or_default())
    };
    let provider_version = pair.provider_version.as_ref().map(crate::api::names::Version::as_str);
    let about = escaped(&messages::one_line(&messages::pair(pair)));
    let link = |href: &Option<String>, word: &str| match href {
        Some(href) => {
            format!("<a href=\"{}\">{word}<span class=\"hush\"> of {about}</span></a>", escaped(href))
        }
        None => String::new(),
    };
    let links = [link(&relation.matrix, "matrix"), link(&relation.pact, "pact")];
    let notes: String = relation.notes().into_iter().map(note).collect();
    let ignored = if relation.ignored { " class=\"ignored\"" } else { "" };
    format!(
        "<tr data-pair=\"{row}\"{ignored}><td><span class=\"state {name}\">{sample}{label}</span>{notes}</td><td>{consumer}</td>\
         <td>{provider}</td><td class=\"links\">{links}</td></tr>\n",
        name = state.name(),
        sample = sample(state),
        label = state.label(),
        consumer = side(pair.consumer.as_str(), Some(pair.consumer_version.as_str())),
        provider = side(pair.provider.as_str(), provider_version),
        links = links.concat(),
    )
}

fn application_table(applications: &[Application]) -> String {
    let row = |application: &Application| {
        let shown = name(application.pacticipant.as_str());
        let linked = match &application.link {
            Some(href) => format!("<a href=\"{}\">{shown}</a>", escaped(href)),
            None => shown,
        };
        let unknown = if application.published { String::new() } else { note("nothing published") };
        let versions = application.versions.iter().map(|it| {
            let note = match (it.rolling_out, it.recorded) {
                (true, _) => note("rolling out"),
                (false, false) => note("not recorded"),
                (false, true) => String::new(),
            };
            format!("<li><code>{}</code>{note}</li>", name(it.version.as_str()))
        });
        let versions: String = versions.collect();
        format!("<tr><th scope=\"row\">{linked}{unknown}</th><td><ul>{versions}</ul></td></tr>\n")
    };
    let rows: String = applications.iter().map(row).collect();
    format!(
        "<table class=\"applications\"><caption class=\"hush\">Applications and their versions</caption>\n<thead><tr>\
         <th scope=\"col\">Application</th><th scope=\"col\">Versions</th></tr></thead>\n<tbody>\n{rows}</tbody></table>\n"
    )
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
