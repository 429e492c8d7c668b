//! The place is a copy place: where the first taker of a memory domain leaves its copy of a message for the others of that
//! domain. Claims, copies, removal, and copies that are made anew in reused chunks.

use crate::harness::{first, holds, is_found, message, run, seen, Role};
use crate::pool::{Chunks, Pool, Published};
use hazcat_core::ids::{PublisherIndex, Sequence};
use hazcat_core::ring::held;
use hazcat_core::ring::place::{Claimant, Place, PlacesView};
use hazcat_core::sync::seeded::Fault;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

const COPIER: u16 = 0;
const OTHER_COPIER: u16 = 1;

#[derive(Clone, Copy, PartialEq)]
enum Twin {
    None,
    /// The copier believes that nobody reads an old copy, and leaves it in its place.
    NoTombstone,
}

struct Shared {
    /// One place: a lap is a position.
    place: [AtomicU64; 1],
    held: AtomicU64,
    copies: Chunks<2>,
    /// Whether the first claimant is dead.
    dead: AtomicBool,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            place: [AtomicU64::new(0)],
            held: AtomicU64::new(held::NOTHING),
            copies: Chunks::new(),
            dead: AtomicBool::new(false),
        })
    }

    fn places(&self) -> PlacesView<'_> {
        PlacesView::new(&self.place).expect("a power of two")
    }
}

fn who(copier: u16) -> Claimant {
    Claimant { copier: PublisherIndex(copier), nonce: u32::from(copier) + 5 }
}

fn at(number: u64) -> Sequence {
    Sequence(first::<1>().0 + number)
}

/// `Subscription::take_across` for three messages, which are copied into two chunks.
fn copier(shared: &Shared, twin: Twin) {
    let places = shared.places();
    let mut pool = Pool::new(COPIER, vec![1, 0]);
    for number in 0..3 {
        let claim = match places.look(at(number)) {
            Place::Vacant(word) => places.claim(at(number), word, who(COPIER)),
            _ => None,
        };
        let Some(claim) = claim else {
            seen("a newer claim was there");
            continue;
        };
        let remove = |oldest: &Published| {
            if twin != Twin::NoTombstone {
                places.remove(oldest.at, message(COPIER, oldest.chunk));
            }
        };
        let chunk = pool.allocate(remove, |scan| scan.read(&shared.held).into_iter().collect());
        let chunk = chunk.expect("one reader holds one chunk of two");
        shared.copies.write(chunk, number);
        if places.publish(at(number), claim, pool.message(chunk)) {
            pool.published.push_back(Published { at: at(number), chunk });
        } else {
            seen("the place moved on during the copy");
            pool.free.push(chunk);
        }
    }
}

/// Takes the copies of the three messages, as far as they are there.
fn reader(shared: &Shared) {
    for number in 0..3 {
        let Place::Copied(found, word) = shared.places().look(at(number)) else { continue };
        held::announce(&shared.held, found);
        if shared.places().still_holds(at(number), word) {
            if found.publisher().0 == COPIER {
                assert_eq!(shared.copies.read(found.chunk()), number, "a copy of another message");
                seen(if number == 2 { "the reader read a reused chunk" } else { "the reader read a fresh chunk" });
            }
        } else {
            seen("the second look failed");
        }
        held::clear(&shared.held);
    }
}

/// Copies the second message, if it comes to it.
fn other_copier(shared: &Shared) {
    let Place::Vacant(word) = shared.places().look(at(1)) else { return };
    if let Some(claim) = shared.places().claim(at(1), word, who(OTHER_COPIER)) {
        shared.places().publish(at(1), claim, message(OTHER_COPIER, 1));
    }
}

fn model(twin: Twin) {
    let roles: Vec<Role<Shared>> =
        vec![Box::new(move |shared| copier(shared, twin)), Box::new(reader), Box::new(other_copier)];
    run(Shared::new(), roles);
}

#[test]
fn a_copy_is_not_reused_under_its_reader() {
    let wanted = [
        "a newer claim was there",
        "a chunk was spared because it was held",
        "the second look failed",
        "the reader read a fresh chunk",
        "the reader read a reused chunk",
    ];
    holds("reuse/copy", Some(2), &wanted, || model(Twin::None));
}

#[test]
fn twin_without_the_owners_fence_is_found() {
    let fault = Some(Fault::NoOwnerFence);
    is_found("reuse/copy, no owner fence", Some(3), fault, "Causality violation", || model(Twin::None));
}

#[test]
fn twin_without_the_readers_fence_is_found() {
    let fault = Some(Fault::NoReaderFence);
    is_found("reuse/copy, no reader fence", Some(3), fault, "Causality violation", || model(Twin::None));
}

#[test]
fn twin_without_a_tombstone_is_found() {
    is_found("reuse/copy, removal inferred", Some(3), None, "Causality violation", || model(Twin::NoTombstone));
}

#[test]
fn twin_with_a_relaxed_publication_is_found() {
    let fault = Some(Fault::RelaxedPublish);
    is_found("reuse/copy, relaxed publication", Some(3), fault, "Causality violation", || model(Twin::None));
}

/// Claims the first message, and either dies of it or copies it.
fn mortal(shared: &Shared, dies: bool) {
    let Place::Vacant(word) = shared.places().look(at(0)) else { return };
    let Some(claim) = shared.places().claim(at(0), word, who(COPIER)) else { return };
    if dies {
        // What `Participant::is_alive` tells others, in whatever order they learn of it.
        shared.dead.store(true, Ordering::Release);
        return;
    }
    shared.copies.write(0, 0);
    if !shared.places().publish(at(0), claim, message(COPIER, 0)) {
        seen("the slow claimant kept its copy for itself");
    }
}

/// Copies the first message, taking the claim over if its claimant is dead.
fn heir(shared: &Shared) {
    for _ in 0..2 {
        let (claim, inherited) = match shared.places().look(at(0)) {
            Place::Vacant(word) => (shared.places().claim(at(0), word, who(OTHER_COPIER)), false),
            Place::Claimed(owner, word) => {
                assert_eq!(owner, who(COPIER), "a claim names its claimant");
                if !shared.dead.load(Ordering::Acquire) {
                    return;
                }
                (shared.places().claim(at(0), word, who(OTHER_COPIER)), true)
            }
            Place::Copied(..) | Place::Passed => return,
        };
        let Some(claim) = claim else { continue };
        if inherited {
            seen("a claim was taken over");
        }
        shared.copies.write(1, 0);
        shared.places().publish(at(0), claim, message(OTHER_COPIER, 1));
        return;
    }
}

/// Copies the message a lap later. Nobody in this model may put anything in its place after that.
fn later(shared: &Shared) {
    let Place::Vacant(word) = shared.places().look(at(1)) else { panic!("nobody else copies this one") };
    let Some(claim) = shared.places().claim(at(1), word, who(7)) else { return };
    let mine = message(7, 3);
    assert!(shared.places().publish(at(1), claim, mine), "an older lap came over a newer claim");
    for _ in 0..2 {
        assert!(matches!(shared.places().look(at(1)), Place::Copied(copy, _) if copy == mine), "the place went back");
        assert!(matches!(shared.places().look(at(0)), Place::Passed), "the place went back");
    }
    seen("a newer lap was copied");
}

fn claims(dies: bool) {
    let roles: Vec<Role<Shared>> = vec![Box::new(move |shared| mortal(shared, dies)), Box::new(heir), Box::new(later)];
    run(Shared::new(), roles);
}

#[test]
fn a_dead_claimants_place_is_taken_over_and_never_goes_back() {
    holds("copy/claims, one dies", Some(3), &["a claim was taken over", "a newer lap was copied"], || claims(true));
}

#[test]
fn a_slow_claimant_does_not_come_over_a_newer_lap() {
    let wanted = ["the slow claimant kept its copy for itself", "a newer lap was copied"];
    holds("copy/claims, one is slow", Some(3), &wanted, || claims(false));
}

#[test]
fn twin_that_claims_over_a_newer_lap_is_found() {
    let fault = Some(Fault::ClaimOverNewerLap);
    is_found("copy/claims over a newer lap", None, fault, "the place went back", || claims(false));
}

#[test]
fn twin_that_publishes_without_its_claim_is_found() {
    let fault = Some(Fault::PublishWithoutClaim);
    is_found("copy/claims, publication without", None, fault, "", || claims(false));
}
