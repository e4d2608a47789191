//! What a load tells in the end: figures, why they are what they are, and what the page was made of.

use std::collections::BTreeSet;

use sitepulse_model::record::{Cause, Phase, Phases};
use sitepulse_model::vitals::report::{
    Attribution, Ended, FirstByte, LISTED_MAX, LargestPaint, Load, Page, TEXT_BYTES_MAX, Values,
};

use super::entries::cut;
use super::failure::asked_for;
use super::traffic::{Document, Timing};
use super::{Visit, figures};
use crate::proxy::Opened;
use crate::{Failed, Loaded};

/// A page that was measured. `resource` is when that of its largest paint was asked for and when it was there.
pub(super) fn loaded(visit: &Visit<'_>, ended: Ended, resource: Option<(u64, u64)>) -> Loaded {
    let entries = &visit.session.story.entries;
    let paint = figures::lcp(&entries.paints, visit.frozen_us);
    let mut interactions = figures::interactions(&entries.events, &visit.inputs, visit.frozen_us);
    let values = Values {
        lcp: paint.map(|paint| paint.at_us),
        cls: Some(figures::cls(entries, &visit.inputs)),
        inp: figures::inp(&interactions, interacted(visit) && visit.framed),
        tbt: entries.fcp_us.map(|fcp_us| figures::tbt(&entries.tasks, fcp_us, visit.frozen_us)),
        fcp: entries.fcp_us,
        ttfb: visit.first_byte_us,
    };
    interactions.truncate(LISTED_MAX);
    let opened = opened(visit);
    Loaded {
        browser: String::new(),
        load: Load {
            values,
            ended,
            observed_us: visit.observed_us,
            cpu_throttling: visit.cpu_throttling,
            ..Load::default()
        },
        attribution: Attribution {
            lcp: paint.map(|paint| LargestPaint {
                element: paint.element.clone(),
                url: cut(&paint.url, TEXT_BYTES_MAX),
                area: paint.area,
                ..parts(paint.at_us, visit.first_byte_us.unwrap_or_default(), resource)
            }),
            shifts: figures::largest_shifts(entries, &visit.inputs),
            interactions,
            ttfb: first_byte(&visit.session.story.traffic.document, opened),
        },
        page: page(visit),
        phases: phases(visit, opened),
        address: opened.map(|opened| opened.address),
    }
}

/// A page that was not.
pub(super) fn failed(visit: &Visit<'_>, cause: Cause, phase: Phase, detail: String) -> Box<Failed> {
    let opened = opened(visit);
    Box::new(Failed {
        load: Load {
            ended: Ended::Failed,
            observed_us: visit.observed_us,
            cpu_throttling: visit.cpu_throttling,
            failure: cut(&detail, TEXT_BYTES_MAX),
            ..Load::default()
        },
        page: page(visit),
        phases: phases(visit, opened),
        address: opened.map(|opened| opened.address),
        ..Failed::new(cause, phase, detail)
    })
}

/// Whether something was done that makes an interaction: scrolling is none.
fn interacted(visit: &Visit<'_>) -> bool {
    visit.inputs.iter().any(|input| !input.action.starts_with("scroll "))
}

/// The parts of LCP after the first byte. Text has no resource: all of it is until it is rendered.
fn parts(lcp_us: u64, first_byte_us: u64, resource: Option<(u64, u64)>) -> LargestPaint {
    let asked_us = resource.map(|(asked, _)| asked.clamp(first_byte_us, lcp_us.max(first_byte_us)));
    let there_us = resource.zip(asked_us).map(|((_, there), asked)| there.clamp(asked, lcp_us.max(asked)));
    LargestPaint {
        load_delay_us: asked_us.map(|asked| asked - first_byte_us),
        load_us: there_us.zip(asked_us).map(|(there, asked)| there - asked),
        render_delay_us: Some(lcp_us.saturating_sub(there_us.unwrap_or(first_byte_us))),
        ..LargestPaint::default()
    }
}

/// The connection that the page came by.
fn opened(visit: &Visit<'_>) -> Option<Opened> {
    let url = &visit.session.story.traffic.document.url;
    asked_for(url, &visit.proxy.asked())?.outcome.as_ref()?.as_ref().ok().copied()
}

fn timing(document: &Document) -> Option<&Timing> {
    document.answer.as_ref()?.timing.as_ref()
}

/// Milliseconds, or seconds with `unit` 1e6, in microseconds.
fn span(from: f64, to: f64, unit: f64) -> u64 {
    // `as` saturates: nonsense is 0 or very long.
    ((to - from) * unit).round().max(0.0) as u64
}

fn first_byte(document: &Document, opened: Option<Opened>) -> Option<FirstByte> {
    let timing = timing(document)?;
    Some(FirstByte {
        redirect_us: span(document.first_s, document.last_s, 1e6),
        dns_us: opened.and_then(|opened| opened.dns_us).unwrap_or_default(),
        connect_us: opened.map_or(0, |opened| opened.connect_us),
        tls_us: timing.tls.map_or(0, |(start, end)| span(start, end, 1e3)),
        wait_us: span(timing.send.1, timing.headers_start, 1e3),
    })
}

fn phases(visit: &Visit<'_>, opened: Option<Opened>) -> Phases {
    let story = &visit.session.story;
    let document = &story.traffic.document;
    let timing = timing(document);
    let received_s = timing.map(|timing| timing.started_s + timing.headers_end / 1e3);
    Phases {
        dns: opened.and_then(|opened| opened.dns_us),
        connect: opened.map(|opened| opened.connect_us),
        tls: timing.and_then(|timing| timing.tls).map(|(start, end)| span(start, end, 1e3)),
        send: timing.map(|timing| span(timing.send.0, timing.send.1, 1e3)),
        first_byte: timing.map(|timing| span(timing.send.1, timing.headers_start, 1e3)),
        transfer: received_s.zip(document.finished_s).map(|(from, to)| span(from, to, 1e6)),
        total: Some(story.loaded_s.map_or(visit.observed_us, |to| span(document.first_s, to, 1e6))),
    }
}

fn page(visit: &Visit<'_>) -> Page {
    let story = &visit.session.story;
    let traffic = &story.traffic;
    let url = if traffic.document.url.is_empty() { &visit.job.url } else { &traffic.document.url };
    let asked = visit.proxy.asked();
    let refused: BTreeSet<&str> = asked
        .iter()
        .filter(|asked| matches!(&asked.outcome, Some(Err(refusal)) if refusal.cause == Cause::PolicyRefused))
        .map(|asked| asked.host.as_str())
        .collect();
    Page {
        url: cut(url, TEXT_BYTES_MAX),
        status: traffic.document.answer.as_ref().map(|answer| answer.status).filter(|&status| status > 0),
        protocol: traffic.document.answer.as_ref().map_or_else(String::new, |answer| answer.protocol.clone()),
        address: opened(visit).map_or_else(String::new, |opened| opened.address.to_string()),
        requests: traffic.requests,
        bytes: traffic.bytes,
        failed_requests: traffic.failed,
        js_errors: story.entries.errors,
        js_error_texts: story.entries.error_texts.clone(),
        dialogs: story.dialogs,
        downloads: story.downloads,
        popups: story.popups,
        refused: refused.into_iter().take(LISTED_MAX).map(|host| cut(host, TEXT_BYTES_MAX)).collect(),
        consent: visit.job.consent.as_ref().map(|_| visit.consented || !story.entries.consents_us.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_lcp_make_all_of_it() {
        let of = |lcp, first_byte, resource| {
            let parts = parts(lcp, first_byte, resource);
            (parts.load_delay_us, parts.load_us, parts.render_delay_us)
        };
        assert_eq!(of(900, 100, Some((300, 800))), (Some(200), Some(500), Some(100)));
        assert_eq!(of(900, 100, None), (None, None, Some(800)));
        // Preloaded before the first byte (early hints), there after the paint (a video's later part): within all the same.
        assert_eq!(of(900, 100, Some((50, 2_000))), (Some(0), Some(800), Some(0)));
        assert_eq!(of(900, 1_000, Some((50, 60))), (Some(0), Some(0), Some(0)));
    }
}
