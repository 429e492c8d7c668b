//! A process is killed at every fault point there is in the source, and nobody else comes to harm.
//!
//! `victim.rs` is one scenario that does everything a process can do to shared memory. It is run once to the end, to learn
//! which points it passes how often; then once for each point and passage to be tried, in which it dies there. With
//! `survivors.rs`, others use the same topics all the time and are asked for a full account after each death. Alone, the
//! next process to come has to find everything in order, and leave nothing.
//!
//! `HAZCAT_LONG=1` tries many passages of each point, and each both with survivors and alone.

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code)]
#[path = "../queue_domains/talking.rs"]
mod talking;

mod bugs;
mod points;
mod survivors;
mod victim;

use hazcat_core::fault;
use std::collections::BTreeMap;
use std::time::Duration;
use support::*;
use survivors::Survivors;

/// Not a test: what a child runs.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    bugs::plant_what_was_ordered();
    let words: Vec<&str> = role.split(' ').collect();
    match words.as_slice() {
        ["victim"] => {
            fault::count();
            victim::everything(&config);
            let counts: Vec<String> =
                fault::counts().into_iter().map(|(point, count)| format!("{point}={count}")).collect();
            answer(counts.join(" "));
        }
        ["victim", point, passage] => {
            fault::kill_at(point, passage.parse().expect("a number"));
            victim::everything(&config);
            answer("survived");
        }
        ["litter"] => victim::litter(&config),
        ["litter", point, passage] => {
            fault::kill_at(point, passage.parse().expect("a number"));
            victim::litter(&config);
        }
        ["copier", point] => {
            fault::kill_at(point, 1);
            victim::copier(&config);
        }
        other => panic!("{other:?}"),
    }
}

/// Has the victim killed at a point; `false` where it ended without passing it so often.
fn kill_at(root: &Root, point: &str, passage: u64, mut meanwhile: impl FnMut()) -> bool {
    let mut victim = Peer::start(root, &format!("victim {point} {passage}"));
    let status = loop {
        match victim.try_wait() {
            Some(status) => break status,
            None => meanwhile(),
        }
    };
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(libc::SIGKILL) => {
            // Its own victim dies with it, a moment later.
            while victim.try_answer().is_some() {}
            true
        }
        None if status.success() => {
            assert_eq!(victim.answer(), "survived");
            false
        }
        _ => panic!("{point}, passage {passage}: the victim ended by itself: {status}"),
    }
}

/// Which points the scenario passes, how often.
fn passed(root: &Root, meanwhile: impl FnMut()) -> BTreeMap<String, u64> {
    let mut victim = Peer::start(root, "victim");
    let mut meanwhile = meanwhile;
    while victim.try_wait().is_none() {
        meanwhile();
    }
    let counts = victim.answer();
    let pair = |pair: &str| {
        let (point, count) = pair.split_once('=')?;
        Some((point.to_owned(), count.parse().ok()?))
    };
    counts.split(' ').filter_map(pair).collect()
}

/// The passages to be tried of one that is passed `count` times: the first, and a later one or more.
fn passages(count: u64, random: &mut Random) -> Vec<u64> {
    let mut chosen = vec![1];
    for _ in 0..if long() { 8 } else { 1 } {
        // Near the end, timing may keep it from being reached.
        chosen.push(1 + random.below(count.saturating_mul(3) / 4));
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

#[test]
fn every_point_in_the_source_is_passed_by_a_scenario() {
    let _watchdog = Watchdog::new();
    let known = points::in_source();
    assert!(known.len() > 100, "{} points found: is this the source?", known.len());
    let root = Root::new();
    let mut reached = passed(&root, || std::thread::sleep(Duration::from_millis(1)));
    root.assert_empty();
    let mut survivors = Survivors::new(&root);
    reached.extend(passed(&root, || survivors.round()));
    survivors.leave();
    root.assert_empty();
    let missed: Vec<&String> = known.iter().filter(|point| !reached.contains_key(*point)).collect();
    assert!(missed.is_empty(), "no scenario passes {missed:?}");
    println!("{} fault points, all passed", known.len());
}

#[test]
fn killed_at_every_point_among_survivors() {
    bugs::plant_what_was_ordered();
    let _watchdog = Watchdog::with_patience(PATIENCE * if long() { 60 } else { 4 });
    let mut random = Random::seeded("killed_at_every_point_among_survivors");
    let root = Root::new();
    let mut survivors = Survivors::new(&root);
    let counts = passed(&root, || survivors.round());
    survivors.account("an undisturbed run");
    let (mut killed, mut escaped) = (0, 0);
    for (point, count) in counts {
        for passage in passages(count, &mut random) {
            let what = format!("{point}, passage {passage} of {count}");
            if kill_at(&root, &point, passage, || survivors.round()) {
                killed += 1;
            } else {
                escaped += 1;
            }
            survivors.account(&what);
            if killed % 16 == 0 {
                survivors.expect_no_leftovers(&what);
            }
        }
    }
    survivors.expect_no_leftovers("the last one");
    println!("{killed} killed at fault points among survivors, {escaped} did not get there; {}", survivors.summary());
    assert!(killed > 10 * escaped, "{escaped} did not get to the point where they were to be killed, {killed} did");
    survivors.leave();
    root.assert_empty();
}

#[test]
fn killed_at_every_point_alone() {
    bugs::plant_what_was_ordered();
    let _watchdog = Watchdog::with_patience(PATIENCE * if long() { 60 } else { 4 });
    let mut random = Random::seeded("killed_at_every_point_alone");
    let root = Root::new();
    let idle = || std::thread::sleep(Duration::from_micros(200));
    let counts = passed(&root, idle);
    root.assert_empty();
    let (mut killed, mut escaped) = (0, 0);
    for (point, count) in counts {
        for passage in passages(count, &mut random) {
            let what = format!("{point}, passage {passage} of {count}");
            if kill_at(&root, &point, passage, idle) {
                killed += 1;
            } else {
                escaped += 1;
            }
            survivors::next_finds_everything_in_order(&root, &what);
        }
    }
    println!("{killed} killed at fault points alone, {escaped} did not get there");
    assert!(killed > 10 * escaped, "{escaped} did not get to the point where they were to be killed, {killed} did");
}
