//! Ten thousand kills at random instants (some hundreds in CI), and what the survivors say of them.

use crate::support::*;
use hazcat_core::ids::Identity;
use hazcat_core::Participant;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many victims live at a time.
const VICTIMS: usize = 3;

/// When which participant has gone out of the graph of one that watches.
struct Watcher {
    participant: Arc<Participant>,
    gone: Arc<Mutex<HashMap<Identity, Instant>>>,
}

impl Watcher {
    fn new(root: &Root) -> Self {
        let participant = root.join();
        let gone: Arc<Mutex<HashMap<Identity, Instant>>> = Arc::default();
        let (weak, noted) = (Arc::downgrade(&participant), Arc::clone(&gone));
        let known: Mutex<Vec<Identity>> = Mutex::default();
        participant.graph().add_listener(Box::new(move || {
            let (now, Some(participant)) = (Instant::now(), weak.upgrade()) else { return };
            let there: Vec<Identity> = participant.graph().snapshot().participants().map(|it| it.identity).collect();
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            for gone in known.iter().filter(|one| !there.contains(one)) {
                noted.entry(*gone).or_insert(now);
            }
            *known = there;
        }));
        Self { participant, gone }
    }

    fn knows_as_gone(&self, who: Identity) -> Option<Instant> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).get(&who).copied()
    }
}

/// Who was killed when, and when it was gone: on a busy machine it takes its time to die.
#[derive(Clone, Copy)]
struct Killed {
    who: Identity,
    at: Instant,
    gone: Instant,
}

/// Kills a victim. Who it was, where it had come so far as to say so.
fn kill(mut victim: Peer) -> Option<Killed> {
    if let Some(status) = victim.try_wait() {
        panic!("a victim ended by itself: {status}");
    }
    let at = Instant::now();
    victim.kill();
    let gone = Instant::now();
    let mut identity = None;
    while let Some(said) = victim.try_answer() {
        assert!(!said.starts_with("panic"), "a victim: {said}");
        identity = identity.or(Identity::from_word(said.strip_prefix("ready ")?.parse().ok()?));
    }
    Some(Killed { who: identity?, at, gone })
}

/// Median, 99 of 100, and longest.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let of_thousand = |part: usize| times.get(times.len().saturating_sub(1) * part / 1000).copied().unwrap_or_default();
    format!("{:.1?}, {:.1?}, {:.1?}", of_thousand(500), of_thousand(990), of_thousand(1000))
}

/// Messages that the survivors take in a second.
fn rate(survivors: &mut [Peer], meanwhile: impl FnOnce()) -> f64 {
    let mut counts =
        || -> u64 { survivors.iter_mut().map(|it| it.ask("count").parse::<u64>().expect("a number")).sum() };
    let (begun, before) = (Instant::now(), counts());
    meanwhile();
    (counts() - before) as f64 / begun.elapsed().as_secs_f64()
}

#[test]
fn survivors_of_a_storm_of_kills_miss_nothing_and_nothing_remains() {
    let (kills, quiet) = if long() { (10_000, Duration::from_secs(10)) } else { (300, Duration::from_millis(500)) };
    let _watchdog = Watchdog::with_patience(Duration::from_secs(if long() { 7200 } else { 240 }));
    let mut random = Random::seeded("storm");
    let root = Root::new();
    let mut survivors: Vec<Peer> =
        (0..2).map(|index| Peer::started(&root, &format!("survivor {} {index}", random.next()))).collect();
    survivors.iter_mut().for_each(|survivor| survivor.send("go"));
    let watcher = Watcher::new(&root);
    let alone = rate(&mut survivors, || std::thread::sleep(quiet));
    let start = |random: &mut Random| Peer::start(&root, &format!("victim {}", random.next()));
    let mut victims: Vec<Peer> = (0..VICTIMS).map(|_| start(&mut random)).collect();
    let undisturbed = rate(&mut survivors, || std::thread::sleep(quiet));
    let mut killed = Vec::new();
    let begun = Instant::now();
    let stormy = rate(&mut survivors, || {
        for _ in 0..kills {
            std::thread::sleep(Duration::from_micros(random.below(12_000)));
            let at = random.below(VICTIMS as u64) as usize;
            let next = start(&mut random);
            killed.push(kill(std::mem::replace(&mut victims[at], next)));
        }
    });
    let storm = begun.elapsed();
    killed.extend(victims.into_iter().map(kill));
    for survivor in &mut survivors {
        assert_eq!(survivor.try_wait(), None, "a survivor has ended");
    }
    let joined: Vec<Killed> = killed.iter().flatten().copied().collect();
    let (mut since_kill, mut since_end) = (Vec::new(), Vec::new());
    for killed in &joined {
        // Who came and went between two looks at the graph was never seen in it.
        let known = || watcher.knows_as_gone(killed.who).is_some() || watcher.participant.is_known_dead(killed.who);
        wait_until("the death is known", known);
        if let Some(noticed) = watcher.knows_as_gone(killed.who) {
            since_kill.push(noticed - killed.at);
            since_end.push(noticed.saturating_duration_since(killed.gone));
        }
    }
    survivors.iter_mut().for_each(|survivor| survivor.send("stop"));
    let totals: Vec<String> = survivors.iter_mut().map(Peer::answer).collect();
    survivors.iter_mut().for_each(|survivor| survivor.send(&totals.join(" ")));
    let told: Vec<String> = survivors.iter_mut().map(Peer::answer).collect();
    println!(
        "{} killed in {storm:.1?}, {} of them after they had joined, seen as dead {} after the kill, {} after their \
         end (median, 99 of 100, longest); nothing lost; messages taken, requests answered: {told:?}; \
         messages/s: {alone:.0} alone, {undisturbed:.0} beside living victims, {stormy:.0} in the storm",
        killed.len(),
        joined.len(),
        spread(since_kill),
        spread(since_end),
    );
    assert!(joined.len() * 4 > killed.len(), "only {} of {} had joined", joined.len(), killed.len());
    expect_nothing_of_the_dead(&root);
    for survivor in &mut survivors {
        assert!(survivor.finish().success());
    }
    watcher.participant.leave();
    root.assert_empty();
}

/// Three participants, seven topics, and the segments of two living publishers.
fn expect_nothing_of_the_dead(root: &Root) {
    let owners = || {
        let segments = root.files_in("payload");
        let owner = |path: &std::path::PathBuf| Some(path.file_name()?.to_str()?.split('-').nth(1)?.to_owned());
        let mut owners: Vec<String> = segments.iter().filter_map(owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners.len()
    };
    let counts = || (root.files_in("participants").len(), root.files_in("bells").len(), root.files_in("topics").len());
    let clean = std::panic::catch_unwind(|| {
        wait_until("what the dead left is removed", || counts() == (3, 3, 7) && owners() == 2);
    });
    assert!(clean.is_ok(), "participants, bells, topics: {:?}; owners of segments: {}", counts(), owners());
}
