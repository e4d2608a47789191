//! Back-tests against the naive model: at each second what an engine would have said that knew the records up to then, and what hindsight says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sitepulse_model::backtest::{Change, Episode, EpisodeKind, Knobs, Replay, Totals, compare, replay, weigh};
use sitepulse_model::control::Weight;
use sitepulse_model::incident::machine::{FLAP_WINDOW_US, FLAPS_MAX};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::time::{SECOND_US, Span};
use sitepulse_model::vote::{CheckView, Standing, Verdict, Vote, Voter};

use crate::cases;
use crate::naive::{Records, inside};
use crate::world::{About, Order, World, at, quorum, span, spans, world};

/// Another policy: of the check, of one agent's weight, and without one agent.
#[derive(Debug, Clone, Default)]
struct Other {
    knobs: Knobs,
    weight: Option<(usize, u32)>,
    without: Option<usize>,
}

fn other() -> impl Strategy<Value = Other> {
    let maybe = |strategy: BoxedStrategy<u32>| proptest::option::of(strategy);
    let knobs = (proptest::option::of(quorum()), maybe((1..5_u32).boxed()), maybe((1..5_u32).boxed()))
        .prop_map(|(quorum, confirmations, recoveries)| Knobs { quorum, confirmations, recoveries });
    (knobs, proptest::option::of((0..5_usize, 0..4_u32)), proptest::option::of(0..5_usize)).prop_map(
        |(knobs, weight, without)| Other { knobs, weight: weight.map(|(agent, n)| (agent, n * 500)), without },
    )
}

impl Other {
    /// The episodes and figures of each life, as the model says.
    fn replayed(&self, world: &World, reopen: i64) -> Vec<Replay> {
        let real = world.real();
        let revisions = self.knobs.applied(&real.revisions);
        let voters: Vec<Voter<'_>> = real
            .voters(world)
            .into_iter()
            .enumerate()
            .filter(|(agent, _)| self.without != Some(*agent))
            .map(|(agent, mut voter)| {
                if let Some((weighed, weight)) = self.weight
                    && weighed == agent
                {
                    weigh(&mut voter, Weight(weight));
                }
                voter
            })
            .collect();
        let one = |life: Span| {
            let view = CheckView { revisions: &revisions, life };
            replay(&view, &voters, &spans(&world.windows), world.period(), reopen * SECOND_US)
        };
        world.lives().into_iter().map(one).collect()
    }

    /// The world as it would have been from the beginning.
    fn world(&self, world: &World) -> World {
        let mut world = world.clone();
        for revision in &mut world.revisions {
            revision.quorum = self.knobs.quorum.unwrap_or(revision.quorum);
            revision.confirmations = self.knobs.confirmations.unwrap_or(revision.confirmations);
            revision.recoveries = self.knobs.recoveries.unwrap_or(revision.recoveries);
        }
        if let Some((weighed, weight)) = self.weight {
            world.orders.retain(|(_, _, about, order)| {
                !(matches!(order, Order::Weight(_)) && [About::Agent(weighed), About::CheckOn(weighed)].contains(about))
            });
            world.orders.push((1_000, -1_000, About::CheckOn(weighed), Order::Weight(weight)));
        }
        if let Some(agent) = self.without.and_then(|agent| world.agents.get_mut(agent)) {
            agent.assigned.clear();
        }
        world
    }
}

/// Second by second: the verdict as it stands, and as it was known then.
fn told(world: &World, life: (i64, i64)) -> Vec<(i64, Verdict, Verdict)> {
    let all = world.real().records;
    let stands: Vec<_> = all.iter().map(|records| world.votes(records)).collect();
    let known: Vec<BTreeMap<i64, Vote>> = all
        .iter()
        .map(|records| {
            let by_then = |slot: i64| -> Records { records.range(..=slot).map(|(slot, obs)| (*slot, *obs)).collect() };
            records.keys().map(|slot| (*slot, world.votes(&by_then(*slot)).at(*slot))).collect()
        })
        .collect();
    (world.period.0..world.period.1)
        .filter(|second| inside(&[life], *second))
        .map(|second| {
            let verdict = |vote: &dyn Fn(usize) -> Vote| {
                let standings: Vec<Standing> = (0..all.len())
                    .map(|agent| world.standing(agent, world.raw(agent, &all[agent], second), vote(agent), second))
                    .collect();
                world.answer(&standings, second).verdict
            };
            let live = |agent: usize| known[agent].range(..=second).next_back().map_or(Vote::Up, |(_, vote)| *vote);
            (second, verdict(&|agent| stands[agent].at(second)), verdict(&live))
        })
        .collect()
}

/// The definition: stretches from bad time to the next time that is known to be no longer bad, put together where they are near or there are too many.
fn episodes(told: &[(i64, Verdict, Verdict)], kind: EpisodeKind, reopen: i64) -> Vec<Episode> {
    let bad = |(_, stands, live): &(i64, Verdict, Verdict)| *stands == kind.verdict() || *live == kind.verdict();
    let blind = |(_, stands, _): &(i64, Verdict, Verdict)| matches!(stands, Verdict::Unknown | Verdict::Maintenance);
    let mut stretches: Vec<&[(i64, Verdict, Verdict)]> = Vec::new();
    let mut rest = told;
    while let Some(first) = rest.iter().position(bad) {
        rest = &rest[first..];
        let end = rest.iter().position(|second| !bad(second) && !blind(second)).unwrap_or(rest.len());
        stretches.push(&rest[..end]);
        rest = &rest[end..];
    }
    let begins = |stretch: &[(i64, Verdict, Verdict)]| stretch[0].0;
    let ends = |stretch: &[(i64, Verdict, Verdict)]| stretch[stretch.len() - 1].0 + 1;
    let lasts = |stretch: &[(i64, Verdict, Verdict)]| Some(ends(stretch)) == told.last().map(|(second, ..)| second + 1);
    let edges: Vec<i64> = stretches
        .iter()
        .flat_map(|stretch| [Some(begins(stretch)), (!lasts(stretch)).then(|| ends(stretch))])
        .flatten()
        .collect();
    let flaps = |second: i64| {
        let near = |edge: &&i64| **edge <= second && (second - **edge) * SECOND_US < FLAP_WINDOW_US;
        edges.iter().filter(near).count() > FLAPS_MAX
    };
    let mut episodes: Vec<Episode> = Vec::new();
    for stretch in stretches {
        let (from, to) = (begins(stretch), ends(stretch));
        let known = stretch.iter().find(|(.., live)| *live == kind.verdict()).map(|(second, ..)| at(*second));
        let bad_us = stretch.iter().filter(|(_, stands, _)| *stands == kind.verdict()).count() as i64 * SECOND_US;
        let lasting = lasts(stretch);
        let (begins_flapping, ends_flapping) = (flaps(from), !lasting && flaps(to));
        match episodes.last_mut() {
            Some(last) if begins_flapping || at(from).us_since(last.span.to) <= reopen * SECOND_US => {
                last.span.to = at(to);
                last.known = last.known.or(known);
                last.bad_us += bad_us;
                last.lasting = lasting;
                last.flapping |= begins_flapping || ends_flapping;
            }
            _ => episodes.push(Episode {
                kind,
                span: span(from, to),
                known,
                lasting,
                bad_us,
                flapping: begins_flapping || ends_flapping,
            }),
        }
    }
    episodes
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn replays_say_what_an_engine_would_have_said(world in world(), other in other(), reopen in 0..40_i64) {
        let altered = other.world(&world);
        for (life, replay) in world.lives.iter().zip(other.replayed(&world, reopen)) {
            let told = told(&altered, *life);
            let mut expected: Vec<Episode> =
                EpisodeKind::ALL.iter().flat_map(|kind| episodes(&told, *kind, reopen)).collect();
            expected.sort_by_key(|episode| (episode.span.from, episode.kind));
            prop_assert_eq!(&replay.episodes, &expected);
            let verdicts: Vec<Verdict> = replay
                .verdicts
                .iter()
                .flat_map(|one| (0..one.span.us() / SECOND_US).map(|_| one.verdict))
                .collect();
            prop_assert_eq!(verdicts, told.iter().map(|(_, stands, _)| *stands).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_same_policy_makes_no_difference_and_the_order_of_records_none(
        (world, shuffled) in world().prop_flat_map(|world| {
            let puts: Vec<_> = world.agents.iter().map(|agent| {
                let twice: Vec<_> = agent.puts.iter().chain(&agent.puts).copied().collect();
                Just(twice).prop_shuffle()
            }).collect();
            (Just(world), puts)
        }),
        reopen in 0..40_i64,
    ) {
        let mut again = world.clone();
        for (agent, puts) in again.agents.iter_mut().zip(shuffled) {
            agent.puts = puts;
        }
        let (one, other) = (Other::default().replayed(&world, reopen), Other::default().replayed(&again, reopen));
        prop_assert_eq!(&one, &other);
        for (one, other) in one.iter().zip(&other) {
            let changes = compare(&one.episodes, &other.episodes);
            let same = |change: &Change| matches!(change, Change::Kept { before, after } if before == after);
            prop_assert!(changes.iter().all(same));
            let pages = one.episodes.iter().filter(|episode| episode.known.is_some()).count();
            let kept = one.episodes.len();
            let totals = Totals { kept, pages_before: pages, pages_after: pages, ..Totals::default() };
            prop_assert_eq!(Totals::of(&changes), totals);
        }
    }

    #[test]
    fn any_knows_no_later_than_majority(world in world(), reopen in 0..40_i64) {
        let with = |quorum| Other { knobs: Knobs { quorum: Some(quorum), ..Knobs::default() }, ..Other::default() };
        let (any, majority) = (with(Quorum::Any).replayed(&world, reopen), with(Quorum::Majority).replayed(&world, reopen));
        for (any, majority) in any.iter().zip(&majority) {
            let down = |episodes: &[Episode]| {
                episodes.iter().filter(|episode| episode.kind == EpisodeKind::Down).copied().collect::<Vec<_>>()
            };
            let (any, majority) = (down(&any.episodes), down(&majority.episodes));
            for known in majority.iter().filter_map(|episode| episode.known) {
                let sooner = any.iter().find(|one| one.span.contains(known)).and_then(|one| one.known);
                prop_assert!(sooner.is_some_and(|sooner| sooner <= known), "{:?} for {:?}", sooner, known);
            }
            let bad = |episodes: &[Episode]| episodes.iter().map(|episode| episode.bad_us).sum::<i64>();
            prop_assert!(bad(&any) >= bad(&majority));
        }
    }

    #[test]
    fn comparisons_lose_nothing(world in world(), other in other(), reopen in 0..40_i64) {
        let (before, after) = (Other::default().replayed(&world, reopen), other.replayed(&world, reopen));
        for (before, after) in before.iter().zip(&after) {
            let changes = compare(&before.episodes, &after.episodes);
            let (mut ones, mut others) = (Vec::new(), Vec::new());
            for change in &changes {
                match change {
                    Change::Kept { before, after } => {
                        prop_assert_eq!(before.kind, after.kind);
                        prop_assert!(!before.span.clip(after.span).is_empty());
                        ones.push(*before);
                        others.push(*after);
                    }
                    Change::Gone(before) => ones.push(*before),
                    Change::New(after) => others.push(*after),
                }
            }
            let sorted = |mut episodes: Vec<Episode>| {
                episodes.sort_by_key(|episode| (episode.span.from, episode.kind));
                episodes
            };
            prop_assert_eq!(sorted(ones), before.episodes.clone());
            prop_assert_eq!(sorted(others), after.episodes.clone());
            let overlaps = |one: &Episode, others: &[Episode]| {
                others.iter().any(|other| other.kind == one.kind && !other.span.clip(one.span).is_empty())
            };
            for episode in &before.episodes {
                let gone = changes.contains(&Change::Gone(*episode));
                prop_assert!(gone || overlaps(episode, &after.episodes));
            }
            let totals = Totals::of(&changes);
            let pages = |episodes: &[Episode]| episodes.iter().filter(|one| one.known.is_some()).count();
            prop_assert_eq!((totals.pages_before, totals.pages_after), (pages(&before.episodes), pages(&after.episodes)));
            prop_assert_eq!(totals.pages_before + totals.pages_new, totals.pages_after + totals.pages_gone);
        }
    }
}
