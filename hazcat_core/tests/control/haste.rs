//! How soon the others know of a death. Nothing depends on it, so nothing is asserted but that they do; the figures are printed.
//!
//! `HAZCAT_LONG=1`: two thousand kills.

use crate::support::{long, monotonic_ns, Peer, Random, Starting, TestRoot};
use std::time::Duration;

const WATCHERS: usize = 4;

#[test]
fn how_soon_deaths_are_known() {
    let root = TestRoot::new();
    let mut random = Random::seeded("how_soon_deaths_are_known");
    let mut watchers: Vec<Peer> = (0..WATCHERS).map(|_| Peer::start(&root)).collect();
    let mut delays = Vec::new();
    let mut victim = Peer::start(&root);
    for _ in 0..if long() { 2000 } else { 25 } {
        let word = victim.identity.word();
        for watcher in &mut watchers {
            assert_eq!(watcher.ask(&format!("outlive {word}")), "watching");
        }
        // It dies while the next one, which may take its place, is on its way.
        let next = Starting::new(&root);
        std::thread::sleep(Duration::from_micros(random.below(10_000)));
        let killed = monotonic_ns();
        victim.kill();
        delays.extend(watchers.iter_mut().map(|it| it.answer().parse::<u64>().expect("a time").saturating_sub(killed)));
        victim = next.joined();
    }
    delays.sort_unstable();
    let ms = |part: usize| delays[(delays.len() - 1) * part / 1000] as f64 / 1e6;
    println!(
        "{} deaths known to {WATCHERS} others each after {:.2} ms (median), {:.2} ms (99 of 100), {:.2} ms (999 of 1,000), \
         {:.2} ms (longest)",
        delays.len() / WATCHERS,
        ms(500),
        ms(990),
        ms(999),
        ms(1000)
    );
}
