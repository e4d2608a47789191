use super::*;
use alloc::string::ToString as _;

fn page(body: &str) -> Html {
    Html::parse_document(body)
}

#[test]
fn compounds_find_what_the_engine_finds() {
    let html = page(
        "<!doctype html><body class='x y'><div id=top data-a='p q'><ul class='md:flex'><li>1<li class=x>2<li>3<b>4</b></ul>\
         <p>5<p class='x y'>6<span>7</span><i>8</i><!-- c --><i class=z>9</i></div><div><ul><li><a href='/x.html'>10</a></ul>\
         <table><tr><td>11<td>12<tr><td>13</table></div><svg><path d='M'/></svg>",
    );
    for css in [
        "li",
        "*",
        ".x",
        "li.x",
        "p.x.y",
        "#top",
        "div#top > ul li",
        "div > li",
        "body div ul > li + li",
        "li ~ li",
        "li ~ li ~ li",
        "li + li + li",
        "span ~ i",
        "span ~ i + i",
        "p ~ i",
        "h1, p",
        "h1 , h2,a[href]",
        "h1,td ~ td",
        "[data-a~='q']",
        "[data-a ~= q] p",
        "a[href$='.html']",
        "a[href=\"/x.html\" i]",
        "li:first-child",
        "li:last-child",
        "li:nth-child(2)",
        "li:nth-child( 2n + 3 )",
        "li:nth-last-child(1)",
        "p:nth-of-type(2) i",
        "i:last-of-type",
        "div:only-of-type",
        "span:only-of-type",
        "li:not(.x)",
        "li:not( .x , :first-child )",
        "div :is(td, a)",
        ":where(ul > li)",
        "tr:nth-child(2) > td",
        "path",
        ":root > body",
        "li:empty",
        ".md\\:flex",
        ".md\\:flex > .x",
        "ul>li>b",
        "  li  ",
        "div>ul~p",
    ] {
        let expected = html.select(&Selector::parse(css).unwrap()).next().map(|found| found.id());
        match Compounds::parse(css) {
            Ok(compounds) => {
                assert_eq!(compounds.first(&html).unwrap().map(|found| found.id()), expected, "{css}");
            }
            Err(why) => assert!(css.contains("where(ul > li)") && why.contains("no combinators"), "{css}: {why}"),
        }
    }
}

#[test]
fn what_a_selector_may_hold_is_bounded_when_it_is_parsed() {
    let long = "a ".repeat(33);
    let many = "a,".repeat(33) + "a";
    let inside = alloc::format!(":not({many})");
    for (css, why) in [
        (&long[..], "at most 32 parts"),
        (&many[..], "at most 32"),
        (&inside[..], "at most 32 commas"),
        (":not(a b)", "no combinators"),
        (":is(b, a ~ c)", "no combinators"),
        (":not(:is(a>b))", "no combinators"),
        ("a >", "no CSS selector"),
    ] {
        let error = Compounds::parse(css).unwrap_err();
        assert!(error.contains(why), "{css}: {error}");
    }
}

#[test]
fn the_first_element_is_the_first_in_the_document() {
    // The tree builder makes the table before what it moves in front of it.
    let html = page("<table class=a><tr><td>1</td></tr><p class=a>2</p></table>");
    let found = Compounds::parse(".a").unwrap().first(&html).unwrap().unwrap();
    assert_eq!(found.text().collect::<String>(), "2");
}

#[test]
fn positions_among_many_siblings_are_counted_only_so_far() {
    let html = page(&"<i></i>".repeat(30_000));
    for css in ["i:nth-last-child(40000)", "i:nth-child(40000)", "i:last-of-type b", ":not(:nth-last-of-type(40000)) b"]
    {
        let error = Compounds::parse(css).unwrap().first(&html).unwrap_err();
        assert!(error.contains("too many siblings"), "{css}: {error}");
    }
    // Neither combinators nor a position near the start are too much.
    for css in ["i ~ i ~ i", "i + i", "i:nth-child(17)", "i ~ i:last-child"] {
        assert!(Compounds::parse(css).unwrap().first(&html).unwrap().is_some(), "{css}");
    }
    let html = page(&("<ul>".to_string() + &"<li></li>".repeat(1000) + "</ul>"));
    assert!(Compounds::parse("li:nth-last-child(1)").unwrap().first(&html).unwrap().is_some());
}

#[test]
fn positions_are_counted_over_texts_and_comments_and_once_for_each_pseudo_class() {
    let looks_too_much = |css: &str, html: &Html| match Compounds::parse(css).unwrap().first(html) {
        Ok(found) => panic!("{css}: {}", found.is_some()),
        Err(why) => assert!(why.contains("too many siblings"), "{css}: {why}"),
    };
    // Few elements, with a thousand comments before each.
    let comments = page(&("<!---->".repeat(1000) + "<i></i>").repeat(30).repeat(2));
    for css in ["i:nth-child(4000)", "i:nth-last-child(4000)", "i:not(:nth-of-type(n))"] {
        looks_too_much(css, &comments);
    }
    // Of a thousand elements one position is counted, of many each.
    let elements = page(&"<i></i>".repeat(1200));
    assert!(Compounds::parse("i:nth-child(4000)").unwrap().first(&elements).unwrap().is_none());
    looks_too_much(&("i".to_string() + &":not(:nth-child(4000))".repeat(20) + ":nth-child(4000)"), &elements);
    looks_too_much("i:nth-child(n):nth-of-type(n):nth-last-child(4000)", &elements);
    looks_too_much("i:only-of-type:nth-child(n)", &elements);
}
