//! What quiet hours hold back, beside a list of every message that was ever written.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A message as written.
#[derive(Debug)]
struct Written {
    channel: String,
    step: u32,
    due: UtcMicros,
    withdrawn: bool,
}

/// A step: how long after the one before, whom it tells after how long (`None`: not), or everybody who was told before (that they are told after).
#[derive(Debug, Clone)]
enum Happens {
    Page(i64, [Option<i64>; 3]),
    Tell(i64, [i64; 3]),
}

fn happens() -> impl Strategy<Value = Happens> {
    let delay = || prop_oneof![3 => Just(0_i64), 2 => 1_i64..60];
    prop_oneof![
        3 => (0_i64..40, prop::array::uniform3(proptest::option::of(delay()))).prop_map(|(after, to)| Happens::Page(after, to)),
        1 => (0_i64..40, prop::array::uniform3(delay())).prop_map(|(after, to)| Happens::Tell(after, to)),
    ]
}

const CHANNELS: [&str; 3] = ["a", "b", "c"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn of_held_messages_the_newest_waits_and_nothing_overtakes(steps in prop::collection::vec(happens(), 1..20)) {
        let mut about = About::default();
        let mut all: Vec<Written> = Vec::new();
        let mut now = UtcMicros(0);
        for (number, step) in (1_u32..).zip(steps) {
            let (after, over) = match step {
                Happens::Page(after, _) => (after, false),
                Happens::Tell(after, _) => (after, true),
            };
            now = now.plus_us(after);
            let heard: BTreeSet<String> =
                all.iter().filter(|one| !one.withdrawn && one.due <= now).map(|one| one.channel.clone()).collect();
            release(&mut about, now);
            prop_assert_eq!(&about.told, &heard, "told is who heard of it");
            let reach = |channel: &str, delay: i64| Reach { channel: channel.into(), user: None, due: now.plus_us(delay) };
            let to = match step {
                Happens::Page(_, to) => {
                    let to = CHANNELS.iter().zip(to);
                    to.filter_map(|(channel, delay)| delay.map(|delay| reach(channel, delay))).collect()
                }
                Happens::Tell(_, delays) => {
                    let to = CHANNELS.iter().zip(delays).filter(|(channel, _)| about.told.contains(**channel));
                    to.map(|(channel, delay)| reach(channel, delay)).collect()
                }
            };
            let reached = Reached { to, unreached: Vec::new() };
            let (held, withdrawn) = settle(&mut about, &reached, number, now, over);
            for (channel, step) in &withdrawn {
                let one = all.iter_mut().find(|one| one.channel == *channel && one.step == *step).unwrap();
                prop_assert!(!one.withdrawn && one.due > now, "only what is not out yet: {:?}", one);
                one.withdrawn = true;
            }
            for reach in &reached.to {
                prop_assert_eq!(held.get(&reach.channel).copied(), (reach.due > now).then_some(reach.due));
                all.push(Written { channel: reach.channel.clone(), step: number, due: reach.due, withdrawn: false });
            }
            // What waits is what is noted as held: one message of a channel at most.
            let waits: Vec<&Written> = all.iter().filter(|one| !one.withdrawn && one.due > now).collect();
            let noted: Vec<(String, u32, UtcMicros)> =
                about.held.iter().map(|(channel, held)| (channel.clone(), held.step, held.until)).collect();
            let mut waiting: Vec<_> = waits.iter().map(|one| (one.channel.clone(), one.step, one.due)).collect();
            waiting.sort();
            prop_assert_eq!(waiting, noted);
            if over {
                prop_assert!(waits.iter().all(|one| one.step == number), "no stale page waits");
            }
        }
        // Each channel gets its messages in the order of their steps.
        for channel in CHANNELS {
            let mut of: Vec<(UtcMicros, u32)> =
                all.iter().filter(|one| !one.withdrawn && one.channel == channel).map(|one| (one.due, one.step)).collect();
            of.sort_unstable();
            prop_assert!(of.windows(2).all(|pair| pair[0].1 < pair[1].1), "{:?}", of);
        }
    }
}
