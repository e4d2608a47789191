//! Text that is no more than text in a format that would make more of it: tags, links, mentions.
//!
//! Formats that find links and mentions by themselves (Discord, Mattermost, Telegram) show what comes from outside as code, where they look for none.

/// For HTML, text and attributes.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// For Slack's own markup, which knows three characters: mentions and links are written with them.
pub(crate) fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// For Markdown that finds links and mentions by itself: as code.
pub(crate) fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'"))
}

/// For a title in Markdown: every character that could begin something is taken as it is, and `@` and `:` begin nothing.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !".,'-%/".contains(c) {
            out.push('\\');
        }
        out.push(c);
        if matches!(c, '@' | ':' | '#') {
            // A word joiner: nothing to see, and no mention, link or channel to find.
            out.push('\u{2060}');
        }
    }
    out
}

/// [`markdown`] of as much of a text as fits into so many characters with the escapes: a provider that takes 256 refuses a title of 257.
pub(crate) fn title(text: &str, chars_max: usize) -> String {
    let whole = markdown(text);
    if whole.chars().count() <= chars_max {
        return whole;
    }
    let mut out = String::new();
    let mut left = chars_max.saturating_sub(3);
    for c in text.chars() {
        let next = markdown(c.encode_utf8(&mut [0; 4]));
        let Some(rest) = left.checked_sub(next.chars().count()) else { break };
        out.push_str(&next);
        left = rest;
    }
    format!("{}...", out.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_becomes_more_than_text() {
        assert_eq!(html("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        assert_eq!(
            slack("<!everyone> <https://evil.example|shop> &"),
            "&lt;!everyone&gt; &lt;https://evil.example|shop&gt; &amp;"
        );
        assert_eq!(code("`@everyone` [a](https://evil.example)"), "`'@everyone' [a](https://evil.example)`");
        assert_eq!(markdown("@here [a](b) *c*"), "\\@\u{2060}here \\[a\\]\\(b\\) \\*c\\*");
    }

    /// Discord refuses a message whose title has more than 256 characters, and with it the page.
    #[test]
    fn a_title_fits_with_its_escapes_and_none_of_them_is_cut() {
        let nasty = "[critical] ".to_owned() + &"@:#_*".repeat(26);
        assert!(nasty.chars().count() <= 141 && markdown(&nasty).chars().count() > 256);
        for max in 3..300 {
            let title = title(&nasty, max);
            assert!(title.chars().count() <= max, "{title}");
            let kept = title.strip_suffix("...").unwrap_or(&title);
            assert!(markdown(&nasty).starts_with(kept), "{title}");
            assert!(!kept.ends_with('\\') || kept.ends_with("\\\\"), "{title}");
        }
        assert_eq!(super::title("shop is down", 256), "shop is down");
    }
}
