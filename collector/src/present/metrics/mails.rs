//! The families of mails to the subscribers of status pages. No address is told.

use sitepulse_model::time::UtcMicros;

use super::Page;
use crate::present::Present;
use crate::present::problem::Answer;
use crate::subscribers::{Counts, channel_of, counts};

/// A family of one value for each page: its name, its help, the value at an instant.
type Family = (&'static str, &'static str, fn(&Counts, UtcMicros) -> f64);

impl Present {
    /// Subscribers and mails of each page that can be subscribed to.
    pub(super) async fn mail_lines(&self, now: UtcMicros) -> Answer<String> {
        let pages: Vec<String> = {
            let book = self.app().book();
            let living = book.objects().status_pages.living();
            living.map(|(id, _)| id.to_owned()).filter(|id| channel_of(&book, id).is_some()).collect()
        };
        if pages.is_empty() {
            return Ok(String::new());
        }
        let read = move |tables: crate::store::Tables<'_>| {
            pages.into_iter().map(|id| counts(tables, &id).map(|counts| (id, counts))).collect()
        };
        let counted: Vec<(String, Counts)> = self.app().read_store(read).await?;
        Ok(lines(&counted, now))
    }
}

fn lines(pages: &[(String, Counts)], now: UtcMicros) -> String {
    let families: [Family; 5] = [
        ("sitepulse_status_page_subscribers", "Who gets mails of a status page.", |one, _| one.confirmed as f64),
        ("sitepulse_status_page_subscriptions_asked", "Who asked for mails of a status page and has not confirmed.", {
            |one, _| one.asking as f64
        }),
        ("sitepulse_status_page_mails_waiting", "Mails of a status page that are not delivered yet.", |one, _| {
            one.waiting as f64
        }),
        (
            "sitepulse_status_page_mails_oldest_age_seconds",
            "Age of the oldest mail of a status page that is not delivered yet; 0 when none waits.",
            |one, now| one.oldest.map_or(0.0, |at| now.us_since(at).max(0) as f64 / 1e6),
        ),
        (
            "sitepulse_status_page_mails_given_up",
            "Mails of a status page that were given up in the last 7 days: somebody was not told.",
            |one, _| one.given_up as f64,
        ),
    ];
    let mut page = Page(String::new());
    for (name, help, figure) in families {
        page.family(name, "gauge", help);
        for (id, counts) in pages {
            page.sample(name, &[("page", id)], figure(counts, now));
        }
    }
    page.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_how_its_mails_fare() {
        let now = UtcMicros(1_790_000_000_000_000);
        let counts =
            Counts { asking: 1, confirmed: 20, waiting: 3, given_up: 2, oldest: Some(now.plus_us(-90_000_000)) };
        let text = lines(&[("public".to_owned(), counts), ("quiet".to_owned(), Counts::default())], now);
        for line in [
            "sitepulse_status_page_subscribers{page=\"public\"} 20\n",
            "sitepulse_status_page_subscriptions_asked{page=\"public\"} 1\n",
            "sitepulse_status_page_mails_waiting{page=\"public\"} 3\n",
            "sitepulse_status_page_mails_oldest_age_seconds{page=\"public\"} 90\n",
            "sitepulse_status_page_mails_oldest_age_seconds{page=\"quiet\"} 0\n",
            "sitepulse_status_page_mails_given_up{page=\"public\"} 2\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
