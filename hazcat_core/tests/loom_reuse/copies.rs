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

/// With one place, a lap is a position.
struct Shared<const PLACES: usize> {
    place: [AtomicU64; PLACES],
    held: AtomicU64,
    copies: Chunks<2>,
    /// Whether the first claimant is dead.
    dead: AtomicBool,
}

impl<const PLACES: usize> Shared<PLACES> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            place: std::array::from_fn(|_| AtomicU64::new(0)),
            held: AtomicU64::new(held::NOTHING),
            copies: Chunks::new(),
            dead: AtomicBool::new(false),
        })
    }

    fn places(&self) -> PlacesView<'_> {
        PlacesView::new(&self.place).expect("a power of two")
    }

    fn at(&self, number: u64) -> Sequence {
        Sequence(first::<PLACES>().0 + number)
    }
}

fn who(copier: u16) -> Claimant {
    Claimant { copier: PublisherIndex(copier), nonce: u32::from(copier) + 5 }
}

/// `Subscription::take_across` for so many messages, which are copied into these chunks.
fn copier<const PLACES: usize>(shared: &Shared<PLACES>, messages: u64, chunks: Vec<u32>, twin: Twin) {
    let places = shared.places();
    let mut pool = Pool::new(COPIER, chunks);
    for number in 0..messages {
        let at = shared.at(number);
        let claim = match places.look(at) {
            Place::Vacant(word) => places.claim(at, word, who(COPIER)),
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
        let Some(chunk) = pool.allocate(remove, |scan| scan.read(&shared.held).into_iter().collect()) else {
            seen("there was no chunk for the copy");
            places.give_up(at, claim);
            continue;
        };
        shared.copies.write(chunk, number);
        if places.publish(at, claim, pool.message(chunk)) {
            pool.published.push_back(Published { at, chunk });
        } else {
            seen("the place moved on during the copy");
            pool.free.push(chunk);
        }
    }
}

/// Takes the copies of so many messages, as far as they are there.
fn reader<const PLACES: usize>(shared: &Shared<PLACES>, messages: u64) {
    for number in 0..messages {
        let at = shared.at(number);
        let Place::Copied(found, word) = shared.places().look(at) else { continue };
        held::announce(&shared.held, found);
        if shared.places().still_holds(at, word) {
            if found.publisher().0 == COPIER {
                assert_eq!(shared.copies.read(found.chunk()), number, "a copy of another message");
                seen(if number == messages - 1 {
                    "the reader read a reused chunk"
                } else {
                    "the reader read a fresh chunk"
                });
            }
        } else {
            seen("the second look failed");
        }
        held::clear(&shared.held);
    }
}

/// Copies the second message, if it comes to it.
fn other_copier(shared: &Shared<1>) {
    let (places, at) = (shared.places(), shared.at(1));
    let Place::Vacant(word) = places.look(at) else { return };
    if let Some(claim) = places.claim(at, word, who(OTHER_COPIER)) {
        places.publish(at, claim, message(OTHER_COPIER, 1));
    }
}

/// Three messages in one place, copied into two chunks.
fn model() {
    let roles: Vec<Role<Shared<1>>> = vec![
        Box::new(|shared| copier(shared, 3, vec![1, 0], Twin::None)),
        Box::new(|shared| reader(shared, 3)),
        Box::new(other_copier),
    ];
    run(Shared::new(), roles);
}

/// Two messages in places of their own, copied into one chunk: nobody else takes the first copy out of its place.
fn removal(twin: Twin) {
    let roles: Vec<Role<Shared<2>>> =
        vec![Box::new(move |shared| copier(shared, 2, vec![0], twin)), Box::new(|shared| reader(shared, 2))];
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
    holds("reuse/copy", Some(2), &wanted, model);
}

#[test]
fn a_copy_is_out_of_its_place_before_its_chunk_is_reused() {
    let wanted = ["there was no chunk for the copy", "the second look failed", "the reader read a reused chunk"];
    holds("reuse/copy, removed", None, &wanted, || removal(Twin::None));
}

#[test]
fn twin_without_the_owners_fence_is_found() {
    let fault = Some(Fault::NoOwnerFence);
    is_found("reuse/copy, no owner fence", Some(3), fault, "Causality violation", model);
}

#[test]
fn twin_without_the_readers_fence_is_found() {
    let fault = Some(Fault::NoReaderFence);
    is_found("reuse/copy, no reader fence", Some(3), fault, "Causality violation", model);
}

#[test]
fn twin_without_a_tombstone_is_found() {
    is_found("reuse/copy, not removed", None, None, "Causality violation", || removal(Twin::NoTombstone));
}

#[test]
fn twin_with_a_relaxed_publication_is_found() {
    let fault = Some(Fault::RelaxedPublish);
    is_found("reuse/copy, relaxed publication", Some(3), fault, "Causality violation", model);
}

/// Claims the first message, and either dies of it or copies it.
fn mortal(shared: &Shared<1>, dies: bool) {
    let Place::Vacant(word) = shared.places().look(shared.at(0)) else { return };
    let Some(claim) = shared.places().claim(shared.at(0), word, who(COPIER)) else { return };
    if dies {
        // What `Participant::is_alive` tells others, in whatever order they learn of it.
        shared.dead.store(true, Ordering::Release);
        return;
    }
    shared.copies.write(0, 0);
    if !shared.places().publish(shared.at(0), claim, message(COPIER, 0)) {
        seen("the slow claimant kept its copy for itself");
    }
}

/// Copies the first message, taking the claim over if its claimant is dead.
fn heir(shared: &Shared<1>) {
    for _ in 0..2 {
        let (claim, inherited) = match shared.places().look(shared.at(0)) {
            Place::Vacant(word) => (shared.places().claim(shared.at(0), word, who(OTHER_COPIER)), false),
            Place::Claimed(owner, word) => {
                assert_eq!(owner, who(COPIER), "a claim names its claimant");
                if !shared.dead.load(Ordering::Acquire) {
                    return;
                }
                (shared.places().claim(shared.at(0), word, who(OTHER_COPIER)), true)
            }
            Place::Copied(..) | Place::Passed => return,
        };
        let Some(claim) = claim else { continue };
        if inherited {
            seen("a claim was taken over");
        }
        shared.copies.write(1, 0);
        shared.places().publish(shared.at(0), claim, message(OTHER_COPIER, 1));
        return;
    }
}

/// Copies the message a lap later. Nobody in this model may put anything in its place after that.
fn later(shared: &Shared<1>) {
    let Place::Vacant(word) = shared.places().look(shared.at(1)) else { panic!("nobody else copies this one") };
    let Some(claim) = shared.places().claim(shared.at(1), word, who(7)) else { return };
    let mine = message(7, 3);
    assert!(shared.places().publish(shared.at(1), claim, mine), "an older lap came over a newer claim");
    for _ in 0..2 {
        assert!(
            matches!(shared.places().look(shared.at(1)), Place::Copied(copy, _) if copy == mine),
            "the place went back"
        );
        assert!(matches!(shared.places().look(shared.at(0)), Place::Passed), "the place went back");
    }
    seen("a newer lap was copied");
}

fn claims(dies: bool) {
    let roles: Vec<Role<Shared<1>>> =
        vec![Box::new(move |shared| mortal(shared, dies)), Box::new(heir), Box::new(later)];
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
