//! The assertion language against arbitrary texts and bodies: nothing panics, and what is taken prints as it was written.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sitepulse_model::check::CheckKind;
use sitepulse_model::expect::{self, Expectation, Extractor, Observed};
use sitepulse_model::record::{Facts, Phases};
use sitepulse_model::time::UtcMicros;

const WORDS: &[&str] = &[
    "status",
    "body",
    "json",
    "html",
    "xml",
    "header",
    "latency",
    "certificate",
    ".",
    "days",
    "loss",
    "'$.a'",
    "'$..*'",
    "'a b'",
    "'//'",
    "'/a'",
    "'a@b'",
    "==",
    "!=",
    "<",
    ">=",
    "not",
    "in",
    "contains",
    "matches",
    "exists",
    "/a/",
    "/(/i",
    "[",
    "]",
    ",",
    "..",
    "1",
    "-5",
    "2.5",
    "5%",
    "1ms",
    "true",
    "null",
    "'x'",
    "degraded",
    "down",
    "if",
    "é",
    "$",
    "dns",
    "ad",
    "'",
];

const TAGS: &[&str] = &[
    "<template>",
    "</template>",
    "<table>",
    "<tr>",
    "<td>",
    "</table>",
    "<b>",
    "<a href=x>",
    "</b>",
    "<p>",
    "</p>",
    "<svg>",
    "<math>",
    "<mi>",
    "<select>",
    "<option>",
    "<frameset>",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "<![CDATA[",
    "<title>",
    "<form>",
    "<html>",
    "<body>",
    "<br/>",
    "</br>",
    "&amp;",
    "&#0;",
    "x",
    "\0",
    "<plaintext>",
    "<button>",
    "<caption>",
    "<col>",
    "<image>",
    "<nobr>",
    "<h1>",
    "<isindex>",
    "<foreignObject>",
    "<?x ?>",
    "<!DOCTYPE html>",
    "=",
    "\"",
    "{",
    "}",
    "[",
    "1",
    ",",
    ":",
    "<a b='c' />",
    "</a>",
];

fn evaluate(texts: &[&str], body: &[u8]) {
    let list: Vec<Expectation> = texts.iter().filter_map(|text| Expectation::parse(text, "http").ok()).collect();
    let facts = Facts::default();
    let observed = Observed {
        facts: &facts,
        body,
        body_bytes: body.len() as u64,
        body_truncated: false,
        headers: &(),
        phases: Phases::default(),
        now: UtcMicros(0),
        thresholds: None,
    };
    expect::evaluate(&list, &observed);
    for text in ["html 'template *'", "html 'b, p > a@href'", "xml '/a'", "json '$..*'", "body /(.)/"] {
        Extractor::parse(text).unwrap().extract(&observed);
    }
}

proptest! {
    #![proptest_config(crate::cases(512))]

    #[test]
    fn parsing_never_panics(kind in select(&CheckKind::NAMES[..]), words in vec(select(WORDS), 0..8), tail in "\\PC{0,10}") {
        for text in [words.join(" "), words.concat(), format!("{}{tail}", words.join(" "))] {
            match Expectation::parse(&text, kind) {
                Ok(expectation) => {
                    prop_assert_eq!(expectation.source(), &text);
                    evaluate(&[&text], b"{\"a\":[1,\"x\",null]}");
                }
                Err(error) => prop_assert!(error.column <= text.chars().count() + 1),
            }
            drop(Extractor::parse(&text));
        }
    }

    #[test]
    fn broken_documents_never_panic(tags in vec(select(TAGS), 0..60), bytes in vec(any::<u8>(), 0..20)) {
        let soup = tags.concat();
        let texts = ["html 'p' exists", "html 'td b:nth-child(2)' == 'x'", "xml '/a/b' exists", "json '$.a' == 1"];
        evaluate(&texts, soup.as_bytes());
        evaluate(&texts, &[soup.as_bytes(), &bytes].concat());
    }
}
