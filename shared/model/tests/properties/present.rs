//! The present beside the verdicts over time: at every second the two say the same, where all is in time and no window covers it.

use proptest::prelude::*;
use sitepulse_model::id::{AgentNo, Revision};
use sitepulse_model::present::{Present, Voice, Witness};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::vote::{CheckView, Policy, Verdict, Voter, verdicts};

use crate::cases;
use crate::world::{CHECK, END, Real, World, at, spans, world};

fn witnesses<'a>(world: &World, real: &'a Real, now: UtcMicros) -> Vec<Witness<'a>> {
    let agents = (0..).zip(&world.agents).zip(&real.series);
    let assigned = agents.filter(|((_, agent), _)| spans(&agent.assigned).iter().any(|span| span.contains(now)));
    let witness = assigned.map(|((number, _), series)| {
        let (agent, late_upto) = (AgentNo(number), None);
        Witness { agent, weight: real.log.weight_at(agent, CHECK, now), series, late_upto }
    });
    witness.filter(|witness| real.log.suspended_at(witness.agent, CHECK, now).is_none()).collect()
}

fn at_instant(view: &CheckView<'_>, voters: &[Voter<'_>], now: UtcMicros) -> Verdict {
    let spans = verdicts(view, voters, &[], Span::new(now, now.plus_us(1)));
    spans.first().map_or(Verdict::Unknown, |span| span.verdict)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn it_is_the_verdict_of_the_instant(world in world()) {
        let real = world.real();
        let voters = real.voters(&world);
        let single = |(from, revision, policy): &(UtcMicros, Revision, Policy)| {
            (*from, *revision, Policy { confirmations: 1, recoveries: 1, ..*policy })
        };
        let singles: Vec<_> = real.revisions.iter().map(single).collect();
        for life in world.lives() {
            let view = real.view(life);
            for second in -3..END + 3 {
                let now = at(second);
                let present = Present::at(&view, witnesses(&world, &real, now), now);
                prop_assert_eq!(present.confirmed.verdict, at_instant(&view, &voters, now), "at {}", second);
                let unconfirmed = at_instant(&CheckView { revisions: &singles, life }, &voters, now);
                prop_assert_eq!(present.newest.verdict, unconfirmed, "newest at {}", second);
                prop_assert!(present.confirmed.since <= now && present.newest.since <= now);
            }
        }
    }

    /// Who looks again only when told to misses nothing.
    #[test]
    fn nothing_changes_before_it_says_so(world in world()) {
        let real = world.real();
        for life in world.lives() {
            let view = real.view(life);
            let in_force = |now: UtcMicros| (view.in_force(now).copied(), life.contains(now));
            for second in 0..END {
                let now = at(second);
                let before = witnesses(&world, &real, now);
                let present = Present::at(&view, before.iter().copied(), now);
                let until = present.next.map_or(END, |next| (next.0 - 1) / 1_000_000);
                for later in second + 1..=until.min(second + 20) {
                    let then = at(later);
                    let after = witnesses(&world, &real, then);
                    let who = |all: &[Witness<'_>]| all.iter().map(|one| (one.agent, one.weight)).collect::<Vec<_>>();
                    if who(&before) != who(&after) || in_force(now) != in_force(then) {
                        break;
                    }
                    let later = Present::at(&view, after, then);
                    let said = |present: &Present| {
                        let one = |voice: &Voice| (voice.agent, voice.weight, voice.vote, voice.newest, voice.slot);
                        present.voices.iter().map(one).collect::<Vec<_>>()
                    };
                    prop_assert_eq!(said(&later), said(&present));
                    prop_assert_eq!(later.confirmed.verdict, present.confirmed.verdict);
                    prop_assert_eq!(later.newest.verdict, present.newest.verdict);
                }
            }
        }
    }

    /// What came late alone leaves nobody with a say.
    #[test]
    fn late_data_alone_says_nothing(world in world(), second in 0..END) {
        let real = world.real();
        let now = at(second);
        let late = witnesses(&world, &real, now).into_iter().map(|one| Witness { late_upto: Some(now), ..one });
        for life in world.lives() {
            prop_assert_eq!(Present::at(&real.view(life), late.clone(), now).confirmed.verdict, Verdict::Unknown);
        }
    }
}
