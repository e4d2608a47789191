use super::*;
use alloc::string::ToString as _;
use alloc::vec::Vec;

fn outcome(body: &str) -> Result<Html, String> {
    read(body.as_bytes())
}

fn numbered(text: &str, times: usize) -> String {
    (0..times).map(|n| text.replace('#', &n.to_string())).collect()
}

#[test]
fn every_way_to_write_attributes_is_counted() {
    for (index, (way, separator)) in [
        ("double quotes without a separator", "a#=\"\""),
        ("single quotes without a separator", "a#=''"),
        ("quotes that hold what ends a tag", "a#='<b>'"),
        ("unquoted values", "a#=x "),
        ("unquoted values with quotes inside", "a#=x'\" "),
        ("no values", "a# "),
        ("slashes", "a#/"),
        ("new lines", "a#\r\n"),
        ("form feeds and spaces around =", "a#\u{c}= ''"),
        ("names of NULs", "\0#\t"),
        ("names of quotes and <", "<\"'#="),
        ("names that start with =", "=#=x "),
        ("references", "a#='&amp'"),
        ("letters outside ASCII", "\u{e9}#='\u{e9}'"),
        ("one name again and again", "a='#'"),
    ]
    .into_iter()
    .enumerate()
    {
        let values = if way == "names of quotes and <" { separator.to_string() + "x " } else { separator.to_string() };
        let attributes = |times| numbered(&values, times);
        // Wherever it stands, and however the tag was come to.
        for before in [
            "",
            "x</><",
            "<!--><",
            "<!-- <a --!><",
            "<! <a ><",
            "<?x <a ><",
            "</ <a ><",
            "<!doctype <a ><",
            "<script><a </script><",
            "<script><!--<script></script>--></script><",
            "<style><a </style><",
            "<title><a </titl</title><",
            "<textarea>&l</textarea><",
            "<svg><![CDATA[]]><",
            "<svg><![CDATA[<a \0<a ]]]><",
            "<svg><style><a></style><",
            "&am<",
            "<<",
            "\0<",
        ]
        .into_iter()
        // Every start with one way, every way with one start.
        .take(if index == 0 { usize::MAX } else { 1 })
        {
            for tag in ["a ", "/A/"] {
                let before = if before.is_empty() { "<" } else { before };
                let body = before.to_string() + tag + &attributes(450) + ">";
                let found = outcome(&body).err();
                let expected = Some("body has an HTML tag with more than 256 attributes");
                assert_eq!(found.as_deref(), expected, "{way} after {before:?} in <{tag:?}");
            }
        }
        // An ordinary count passes.
        let body = "<a ".to_string() + &attributes(250) + "><h1>x</h1>";
        assert_eq!(outcome(&body).err(), None, "{way}");
    }
}

#[test]
fn the_tokenizer_is_given_little_of_a_tag_past_the_limit() {
    let body = "<a ".to_string() + &numbered("a#=\"\"", 100_000);
    let reader = Reader::new();
    let mut tag = Tag::new();
    reader.feed("<").unwrap();
    let mut given = 0;
    for piece in body.as_bytes()[1..].chunks(PIECE_BYTES) {
        given += piece.len();
        assert!(!reader.feed(core::str::from_utf8(piece).unwrap()).unwrap());
        if tag.follow(piece).is_err() {
            break;
        }
    }
    // At least two bytes an attribute: the piece that passes the limit adds a few hundred.
    assert!(tag.attributes <= ATTRIBUTES_MAX + PIECE_BYTES / 2, "{}", tag.attributes);
    assert!(given < 4 * 1024, "{given}");
}

#[test]
fn ordinary_pages_are_not_refused() {
    let indented = "\n                <p class='x' / >a / b</p>".repeat(3000);
    let json = "{\"a\": \"b / c\", \"d\": [1, 2, 3], \"e\": \"<b class=x>\"}, ".repeat(2500);
    let script = "if (a <b) { c = 1 / 2 ; d = \"e\" ; f = 'g' } \n".repeat(3000);
    let words = "word = / ".repeat(10_000);
    for (what, page) in [
        ("a commented-out block", "<!--".to_string() + &indented + "-->"),
        ("a comment with a tag that never ends", "<!-- <a ".to_string() + &words + "-->"),
        ("JSON in a quoted attribute", "<div id=app data-page='".to_string() + &json + "'></div>"),
        (
            "JSON as Laravel writes it",
            "<div data-page=\"".to_string() + &json.replace('"', "&quot;").replace('<', "&lt;") + "\"></div>",
        ),
        ("a script", "<script>".to_string() + &script + "</script>"),
        ("a script with what looks like a tag", "<script>x = '<a ".to_string() + &words + "'</script>"),
        ("JSON in a script", "<script type=application/json>[".to_string() + &json + "]</script>"),
        ("inline CSS", "<style>".to_string() + &"a > b { c : d / e } ".repeat(5000) + "</style>"),
        ("an inline SVG", "<svg><path d='".to_string() + &"M 1 2 L 3 / 4 ".repeat(10_000) + "'/></svg>"),
        ("many SVG nodes", "<svg>".to_string() + &"<path d='M 1 2' fill=none />".repeat(3000) + "</svg>"),
        ("CDATA in an SVG", "<svg><style><![CDATA[ <a ".to_string() + &words + "]]></style></svg>"),
        ("a long text", "<p>".to_string() + &words + "</p>"),
        ("a form", "<textarea> <a ".to_string() + &words + "</textarea>"),
        ("a title", "<title> <a ".to_string() + &words + "</title>"),
        ("a bogus comment", "<?php echo ".to_string() + &words + "?>"),
        ("spaces in a tag", "<a ".to_string() + &" ".repeat(100_000) + "href=x></a>"),
        ("an image", "<img src='data:image/png;base64,".to_string() + &"QUJD/EVG".repeat(10_000) + "'>"),
    ] {
        let page = "<!doctype html><body>".to_string() + &page + "<h1>here</h1>";
        let html = outcome(&page).unwrap_or_else(|why| panic!("{what}: {why}"));
        let selector = scraper::Selector::parse("body > h1").unwrap();
        assert_eq!(html.select(&selector).count(), 1, "{what}");
    }
}

#[test]
fn pieces_read_as_the_whole_does() {
    let pieces = [
        "<a b='<c>' d=\"&amp;\">x</a>",
        "<!-- <b> -->",
        "<script>a<b</script>",
        "<svg><![CDATA[<x>]]></svg>",
        "&am",
        "p;",
        "\r",
        "\n",
        "\0",
        "</>",
        "<<",
        "<table>z<tr><td>",
        "<title><b></title>",
        "\u{20ac}",
        "<?x>",
        "<p>",
        "</p",
        " >",
        "<b></p>",
    ];
    // A small deterministic shuffle.
    let mut seed = 1_u32;
    for _ in 0..500 {
        let mut page = String::new();
        for _ in 0..20 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            page.push_str(pieces[(seed >> 16) as usize % pieces.len()]);
        }
        assert_eq!(outcome(&page).unwrap().html(), Html::parse_document(&page).html(), "{page:?}");
    }
}

#[test]
fn a_limit_strikes_at_the_token_that_passes_it() {
    // Each <p>x opens all of the formatting elements anew: a piece of a kilobyte would make a hundred times as many nodes.
    let formatting = numbered("<b a=#>", 400);
    let body = "<p>".to_string() + &formatting + &"<p>x".repeat(2000);
    let reader = Reader::new();
    let result = reader.feed(&body);
    assert_eq!(result.err().as_deref(), Some("body has more than 32768 HTML nodes"));
    let nodes = reader.tokenizer.sink.builder.sink.0.borrow().tree.values().len();
    assert!(nodes <= NODES_MAX + 2 * DEPTH_MAX, "{nodes}");
    // A comment after </body> hangs high up, and hides how deep the tree is.
    let body = ("<div>".repeat(100) + "</body><!---->").repeat(100);
    assert_eq!(outcome(&body).err().as_deref(), Some("body nests HTML deeper than 512 levels"));
}

#[test]
fn tags_under_a_deep_tree_are_bounded() {
    // Each unknown end tag makes the tree builder look at every open element.
    let body = numbered("<b a=#>", 480) + &"</x>".repeat(15_000);
    assert_eq!(outcome(&body).err().as_deref(), Some("body has too many HTML tags for how deep it nests"));
    let body = "<div>".repeat(60) + &"<i></i>".repeat(30_000);
    assert_eq!(outcome(&body).err(), None);
}

#[test]
fn a_body_may_end_anywhere() {
    let page =
        "<!doctype html><a b='c' d=\"e\" f=g h><!-- i --><script>j<k</script>&amp;<svg><![CDATA[l]]></svg></a></>";
    for end in 0..=page.len() {
        let html = outcome(&page[..end]).unwrap();
        assert_eq!(html.html(), Html::parse_document(&page[..end]).html(), "{end}");
    }
}

#[test]
fn formatting_elements_with_many_attributes_are_bounded() {
    // Each <b> is compared with all open ones, attribute by attribute: this took seconds.
    let attributes = numbered("a#=x ", 100);
    let tags: String = (0..480).map(|n| alloc::format!("<b {attributes} id={n}>")).collect();
    assert_eq!(outcome(&tags).err().as_deref(), Some("body has too many HTML tags for how deep it nests"));
    // Side by side they are compared with nothing.
    let links = alloc::format!("<p><a {attributes}>x</a></p>").repeat(1000);
    assert_eq!(outcome(&links).err(), None);
}

#[test]
fn attributes_that_are_opened_anew_are_bounded() {
    // Each paragraph opens the <b> again, with all it has: this took hundreds of megabytes.
    let body = "<p><b ".to_string() + &numbered("a#=x ", 250) + ">" + &"<p>x".repeat(10_000);
    assert_eq!(outcome(&body).err().as_deref(), Some("body has more than 131072 HTML attributes"));
}

#[test]
fn attributes_of_the_root_given_again_and_again_are_bounded() {
    let body = numbered("<body a#=x>", 80_000);
    assert_eq!(outcome(&body).err().as_deref(), Some("body has too many HTML tags for how deep it nests"));
}

#[test]
fn names_that_collide_are_refused() {
    let name = |n: u32| alloc::format!("data-collides-{n}");
    let list = |n: u32| LocalName::from(name(n)).get_hash() % NAME_LISTS;
    let wanted = list(0);
    let mut colliding: Vec<String> = (0..400_000).filter(|n| list(*n) == wanted).map(name).collect();
    assert!(colliding.len() > NAMES_IN_LIST_MAX, "{}", colliding.len());
    let page = |names: &[String], tags: bool| -> String {
        let one =
            |name: &String| if tags { alloc::format!("<{name}></{name}>") } else { alloc::format!("<i {name}=x></i>") };
        names.iter().map(one).collect()
    };
    for tags in [false, true] {
        assert_eq!(
            outcome(&page(&colliding, tags)).err().as_deref(),
            Some("body has HTML names made to collide in a table")
        );
    }
    colliding.truncate(NAMES_IN_LIST_MAX - 10);
    assert_eq!(outcome(&page(&colliding, false)).err(), None);
    let ordinary: Vec<String> = (0..15_000).map(|n| alloc::format!("data-own-{n}")).collect();
    assert_eq!(outcome(&page(&ordinary, false)).err(), None);
}

#[test]
fn pieces_of_text_under_a_deep_tree_are_bounded() {
    let body = "<b>".to_string() + &"<div>".repeat(500) + &"&lt;".repeat(200_000);
    assert_eq!(outcome(&body).err().as_deref(), Some("body has too many HTML tags for how deep it nests"));
    let body = "<div>".repeat(20) + &"\n".repeat(1_000_000);
    assert_eq!(outcome(&body).err(), None);
}

#[test]
fn a_long_attribute_that_is_opened_anew_is_bounded() {
    // Each paragraph opens the <b> again: a selector would look through gigabytes.
    let body = "<p><b class='".to_string() + &"x ".repeat(475_000) + "'>" + &"</p><p>x".repeat(10_900);
    assert_eq!(outcome(&body).err().as_deref(), Some("body has more than 2 MiB in HTML attributes"));
    // As long as it is, once.
    let body = "<p><b class='".to_string() + &"x ".repeat(475_000) + "'>y</b>" + &"</p><p>x".repeat(10_000);
    assert_eq!(outcome(&body).err(), None);
    // A link that was not closed is a common mistake.
    let body = "<p><a href='".to_string() + &"x".repeat(150) + "'>" + &"</p><p>x".repeat(10_000);
    assert_eq!(outcome(&body).err(), None);
}
