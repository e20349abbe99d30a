//! The page: names are free text, and nothing of it becomes markup, a script or a request.

use regex::Regex;

use super::{
    super::{
        Known,
        fixtures::{World, every_state, now, row},
    },
    *,
};

/// Names that somebody may publish under.
const HOSTILE: [&str; 8] = [
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onfocus='alert(1)",
    "<!--<script>",
    "{{data}} {{script}}",
    "&lt;b&gt; & co / größe 日本",
    "\u{202e}desrever \u{2028} line",
    "]]>\\u003c\\",
];

fn hostile() -> String {
    let live: Vec<_> = HOSTILE.iter().flat_map(|name| [(*name, "1<2"), (*name, "2\">'&")]).collect();
    let rows: Vec<_> = HOSTILE
        .windows(2)
        .map(|two| row((two[0], "1<2"), (two[1], "1<2"), Some(false)))
        .chain([row((HOSTILE[0], "2\">'&"), ("<i>not there</i>", ""), None)])
        .collect();
    let known = Known::Remembered { checks: Vec::new(), why: "<b onclick=x>it said \"no\"</b>".to_owned() };
    let world = World::of(&live);
    page(&Overview::of(now(), vec![world.picture(&rows), world.picture_of("<test>", known)]))
}

/// The page without its style, script and data, and that data.
fn taken_apart(page: &str) -> (String, Value) {
    let (before, rest) = page.split_once("<style>").unwrap();
    let (style, rest) = rest.split_once("</style>").unwrap();
    let (body, rest) = rest.split_once("<script id=\"picture\" type=\"application/json\">").unwrap();
    let (data, rest) = rest.split_once("</script>\n<script>").unwrap();
    let (script, end) = rest.split_once("</script>").unwrap();
    assert_eq!((style, script), (STYLE, SCRIPT));
    (format!("{before}{body}{end}"), serde_json::from_str(data).unwrap())
}

#[test]
fn no_name_becomes_markup() {
    let page = hostile();
    let (markup, data) = taken_apart(&page);
    let names = data["environments"][0]["applications"].as_array().unwrap();
    let mut found: Vec<_> = names.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let mut expected = HOSTILE.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "the script reads the names as they are");

    let tag = Regex::new(r#"<(/?[a-z0-9]+|!doctype)((?: [a-zA-Z0-9-]+(?:="[^"<>]*")?)*)/?>"#).unwrap();
    let attribute = Regex::new(r#" ([a-zA-Z0-9-]+)(?:="[^"]*")?"#).unwrap();
    let known = "html head meta link title style body a header p h1 ul li nav form label select option input datalist fieldset \
                 legend button bdi main section h2 small span figure div figcaption table caption thead tr th tbody td code \
                 details summary footer svg path time strong";
    let known: Vec<_> = known.split_whitespace().collect();
    for element in tag.captures_iter(&markup) {
        let element_name = element[1].trim_start_matches('/');
        assert!(known.contains(&element_name) || element_name == "!doctype", "{}", &element[0]);
        let handler = attribute.captures_iter(&element[2]).any(|it| it[1].starts_with("on") || &it[1] == "style");
        assert!(!handler, "{}", &element[0]);
    }
    let text = tag.replace_all(&markup, "");
    assert!(!text.contains(['<', '>']), "{}", text.chars().take(2_000).collect::<String>());
    assert_eq!(page.matches("<script").count(), 2);
}

#[test]
fn the_page_runs_its_own_script_only_and_asks_nobody_for_anything() {
    let policies = Regex::new("http-equiv=\"Content-Security-Policy\" content=\"([^\"]*)\"").unwrap();
    let addresses = Regex::new(r#"(href|src|action|srcset|poster|data)="([^"]*)""#).unwrap();
    for page in [hostile(), page(&every_state())] {
        let (markup, _) = taken_apart(&page);
        let policy = &policies.captures(&markup).unwrap()[1];
        for (directive, text) in [("style-src", STYLE), ("script-src", SCRIPT)] {
            let hash = STANDARD.encode(Sha256::digest(text));
            assert!(policy.contains(&format!("{directive} 'sha256-{hash}';")), "{policy}");
        }
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        for address in addresses.captures_iter(&markup) {
            let (attribute, to) = (&address[1], &address[2]);
            let leads = ["https://broker.example.com/", "#", "data:,"].iter().any(|it| to.starts_with(it));
            assert!(attribute == "href" && leads, "{}", &address[0]);
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        for word in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "fetch(", "import("]
        {
            assert!(!SCRIPT.contains(word), "{word}");
        }
    }
}

#[test]
fn without_its_script_the_page_says_all_of_it() {
    let (markup, data) = taken_apart(&page(&every_state()));
    for text in [
        "<header class=\"top bad\">",
        "<h1>1 pair is failing, 1 without a provider, 1 not verified</h1>",
        "<bdi>stock</bdi> <bdi>1.36.0</bdi> fails the pact of <bdi>web</bdi> <bdi>4.2.0</bdi> in <bdi>production</bdi>",
        "<time datetime=\"2026-11-30T09:12:00Z\">30 November 2026, 09:12 UTC</time>",
        "<a href=\"#environment-0\"><strong><bdi>production</bdi></strong>",
        "<span class=\"failing\">1 failing</span>",
        "<caption>Pairs</caption>",
        "<span class=\"note\">rolling out</span>",
        "<span class=\"note\">nothing published</span>",
        "<span class=\"note\">not recorded</span>",
        "The pairs are not known: the broker is down",
        "<a class=\"skip\" href=\"#environments\">",
    ] {
        assert!(markup.contains(text), "{text}");
    }
    assert_eq!(markup.matches("<tr data-pair=").count(), data["environments"][0]["pairs"].as_array().unwrap().len());
    assert_eq!(data["environments"][0]["counts"]["rolling-out"], 1);
    assert!(!markup.contains("{{") && !markup.contains("}}"));
    let labelled = Regex::new("aria-labelledby=\"([^\"]*)\"").unwrap();
    for label in labelled.captures_iter(&markup) {
        assert!(markup.contains(&format!("id=\"{}\"", &label[1])), "{}", &label[0]);
    }
}

#[test]
fn no_name_turns_the_sentences_around_it() {
    let name = "\u{202e}desrever";
    let rows = [row((name, "1"), ("api", "1"), Some(false)), row(("api", "1"), (name, "1"), Some(false))];
    let world = World::of(&[(name, "1"), ("api", "1")]);
    for rows in [&rows[..], &rows[..1]] {
        let page = page(&Overview::of(now(), vec![world.picture(rows)]));
        let (markup, _) = taken_apart(&page);
        let top = &markup[..markup.find("</header>").unwrap()];
        assert!(top.contains("the pact of <bdi> desrever</bdi> <bdi>1</bdi> in <bdi>production</bdi>"), "{top}");
        assert!(!top.contains('\u{202e}'), "{top}");
    }
}

#[test]
fn a_page_of_some_pairs_says_that_there_are_more() {
    let chosen = every_state().only(|it| it.state() == State::Verified, |_| true);
    let (markup, data) = taken_apart(&page(&chosen));
    for text in [
        "<header class=\"top bad\">",
        "<h1>1 pair is failing, 1 without a provider, 1 not verified</h1>",
        "<p class=\"notice\">2 of its 6 pairs shown</p>",
        "<span class=\"failing\">1 failing</span>",
    ] {
        assert!(markup.contains(text), "{text}");
    }
    assert_eq!((markup.matches("<tr data-pair=").count(), &data["environments"][0]["leftOut"]), (2, &4.into()));
}

#[test]
fn the_script_knows_every_state() {
    let states: Vec<_> = State::ALL.iter().map(|state| format!("\"{}\"", state.name())).collect();
    assert!(SCRIPT.contains(&format!("const STATES = [{}];", states.join(", "))));
    for state in State::ALL.iter().filter(|state| **state != State::Verified) {
        assert!(
            SCRIPT.contains(&format!("{}: \"{}\"", state.name(), state.label()))
                || SCRIPT.contains(&format!("\"{}\": \"{}\"", state.name(), state.label())),
            "{state:?}"
        );
        assert!(STYLE.contains(&format!(".{} path.stroke", state.name())), "{state:?}");
    }
    let json = json_in_html(&serde_json::json!({"</script>": "<!-- & -->"}));
    assert_eq!(json, "{\"\\u003c/script\\u003e\":\"\\u003c!-- \\u0026 --\\u003e\"}");
}
