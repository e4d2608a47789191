use proptest::prelude::*;

use super::*;

fn hidden(values: &[&str], told: usize) -> Hidden {
    Hidden::new(values.iter().map(|value| (format!("<{value}>"), vec![(*value).to_owned()])), told)
}

fn told(hidden: &Hidden, text: &str) -> String {
    let mut hits = Vec::new();
    hidden.find(text, &mut hits);
    replace(text, hits)
}

#[test]
fn short_values_are_found_whole_beside_others_that_go_on() {
    let hidden = hidden(&["47", "4711", "4712999", "48"], 8);
    assert_eq!(told(&hidden, "4711 4713 4712 4712999 48 4"), "<4711> <47>13 <47>12 <4712999> <48> 4");
}

#[test]
fn values_part_from_texts_within_characters() {
    let hidden = hidden(&["geheim-ü", "Grüße"], 7);
    assert_eq!(told(&hidden, "geheim-ö, Grüß, Grüße"), "<geheim-ü>, Grüß, <Grüße>");
    assert_eq!(told(&hidden, "geheim-%C3"), "<geheim-ü>");
}

#[test]
fn only_whole_values_are_found_where_beginnings_tell_nothing() {
    let hidden = hidden(&["/orders/7", "/orders/7/items"], usize::MAX);
    assert_eq!(told(&hidden, "/orders/7 /orders/7/item /orders/"), "</orders/7> </orders/7>/item /orders/");
    let mut hits = Vec::new();
    hidden.find_cut("to /orders/", 6, &mut hits);
    assert_eq!(replace("to /orders/", hits), "to </orders/7>");
}

#[test]
fn nothing_hidden_is_nothing_found() {
    assert_eq!(told(&Hidden::default(), "a text"), "a text");
    assert_eq!(told(&hidden(&[""], 8), "a text"), "a text");
}

proptest! {
    #[test]
    fn the_longest_value_is_found_as_by_looking_at_each(
        values in prop::collection::vec("[ab]{1,12}", 1..12),
        text in "[abc]{0,60}",
    ) {
        let hidden = hidden(&values.iter().map(String::as_str).collect::<Vec<_>>(), 4);
        for at in 0..text.len() {
            let same = |value: &String| value.bytes().zip(text[at..].bytes()).take_while(|(a, b)| a == b).count();
            let each = values.iter().filter(|value| same(value) == value.len() || same(value) >= 4).map(same).max();
            prop_assert_eq!(hidden.at(&text.as_bytes()[at..], 4).map(|(len, _)| len), each);
        }
    }

    #[test]
    fn any_text_is_read(text in any::<String>(), escaped in "[%+&\\\\u{}#x;0-9a-f=_ü-]{0,80}") {
        let hidden = hidden(&["a", "0000", "ü"], 4);
        told(&hidden, &text);
        told(&hidden, &escaped);
    }
}
