//! A memory domain that another crate registers: it passes the suite, messages live in it, and what only devices have (streams,
//! prepared host memory, producers that fail) is asked of it at the right moments. And the guide shows just this.

use crate::failing::patient;
use crate::shelf::{self, Shelves, BROKEN, KIND};
use crate::support::*;
use crate::talking::*;
use hazcat_core::domain::registry::{register, resolve};
use hazcat_core::domain::{DomainError, DomainId, MemoryDomain, Stream};
use hazcat_core::queue::layout::taken;
use hazcat_core::ring::place::Place;
use hazcat_core::{MessageMeta, NotHeld, PublisherOptions, RawSample, ReturnError, Sequence, Subscription, TakeError};
use std::sync::{Arc, Once};

const HOST: DomainId = DomainId::HOST;

/// A shelf, by what users call it.
fn open(name: &str) -> Result<Arc<dyn MemoryDomain>, DomainError> {
    static ONCE: Once = Once::new();
    // Guide, step 6: before the first endpoint that uses it.
    ONCE.call_once(|| register(KIND, Arc::new(Shelves)).expect("nobody else has a kind of this name"));
    resolve(name)
}

fn shelf(number: u32) -> DomainId {
    open(&format!("{KIND}:{number}")).expect("there are a hundred").id()
}

// Guide, step 7: the suite.
hazcat_core::domain_conformance!(conforms, open("shelf:0"));

#[test]
fn the_guide_shows_what_is_tested() {
    let guide = include_str!("../../../docs/memory-domains.md");
    let tested = [include_str!("shelf.rs"), include_str!("third_party.rs")].concat();
    let code: Vec<&str> = tested.lines().map(str::trim).collect();
    let mut steps = 0;
    for snippet in guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let lines: Vec<&str> = snippet.lines().map(str::trim).collect();
        // "..." stands for lines left out.
        for part in lines.split(|line| *line == "...").filter(|part| !part.is_empty()) {
            assert!(code.windows(part.len()).any(|window| window == part), "not tested: {}", part.join("\n"));
        }
        steps += 1;
    }
    let marked = (1..=steps).filter(|step| tested.contains(&format!("// Guide, step {step}:"))).count();
    assert_eq!((steps, marked), (7, 7), "seven steps, each marked in the code");
    for step in 1..=steps {
        assert!(guide.contains(&format!("### Step {step}:")), "step {step} has a heading");
    }
}

#[test]
fn messages_cross_from_and_to_a_domain_of_another_crate() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for (from, to) in
        [(shelf(1), HOST), (HOST, shelf(1)), (shelf(1), sim(300)), (sim(300), shelf(2)), (shelf(3), shelf(3))]
    {
        let name = format!("{from}-{to}");
        let publisher = publisher_in(&here, &name, from);
        let (one, other) = (subscription_in(&there, &name, to), subscription_in(&there, &name, to));
        for number in 1..=20 {
            send(&publisher, number, 5000);
            for subscription in [&one, &other] {
                let raw = subscription.take_raw().expect("take").expect("there");
                assert_eq!(raw.domain, to);
                assert_eq!(whole(&bytes_of(subscription, &raw)), Some((0, number)), "{name}");
                subscription.return_raw(raw.index).expect("held");
            }
        }
        let copies = u64::from(from != to) * 20;
        assert_eq!(copies_by(&one) + copies_by(&other), copies, "{name}");
    }
    assert_eq!(open("shelf:7").expect("there").description(), "shelf number 7");
    assert!(matches!(open("shelf:100"), Err(DomainError::NotAvailable { .. })));
    assert!(matches!(register(KIND, Arc::new(Shelves)), Err(DomainError::Registered { .. })));
}

#[test]
fn who_does_not_know_the_kind_loses_the_message_and_gets_the_next_one() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participant = root.join();
    let (from_shelf, from_host) =
        (publisher_in(&participant, "topic", shelf(14)), publisher_in(&participant, "topic", HOST));
    let mut stranger = Peer::started(&root, "stranger");
    (1..=5).for_each(|number| send(&from_shelf, number, 100));
    send(&from_host, 6, 100);
    assert_eq!(stranger.answer(), "6 5");
    assert!(stranger.finish().success());
}

fn bytes_of(subscription: &Subscription, raw: &RawSample) -> Vec<u8> {
    let mut bytes = vec![0; raw.len];
    match subscription.device(raw) {
        Some(device) => device.copy_to_host(&mut bytes).expect("there"),
        // SAFETY: a held message on the host, of that length.
        None => bytes.copy_from_slice(unsafe { std::slice::from_raw_parts(raw.ptr.as_ptr(), raw.len) }),
    }
    bytes
}

/// Publishes what `stream` will have written.
fn send_from(publisher: &hazcat_core::Publisher, number: u64, bytes: usize, stream: Stream) {
    let mut content = vec![0; bytes];
    fill(&mut content, 0, number);
    let mut loan = publisher.loan_on_device(bytes).expect("loan");
    loan.copy_from(&content).expect("fits");
    let (raw, length) = loan.into_raw();
    publisher.publish_from_stream(raw, length, &MessageMeta::default(), stream).expect("publish");
}

#[test]
fn a_message_returned_behind_a_stream_is_held_until_the_stream_has_passed() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let (domain, stream) = (shelf(10), Stream(10));
    let options = PublisherOptions { domain, byte_budget: 256 << 10, ..PublisherOptions::default() };
    let publisher = publisher(&here, "behind", options);
    let subscription = subscription_in(&there, "behind", domain);
    send(&publisher, 1, 8000);
    let raw = subscription.take_raw().expect("take").expect("there");
    let device = subscription.device(&raw).expect("on the shelf");
    subscription.return_raw_after(&raw, stream).expect("held");
    assert_eq!(subscription.return_raw_after(&raw, stream), Err(ReturnError::NotHeld(NotHeld)), "twice");
    assert_eq!(subscription.return_raw(raw.index), Err(NotHeld), "and once more");
    // However many messages follow, its memory is nobody else's.
    for number in 2..102 {
        send(&publisher, number, 8000);
        let other = subscription.take_raw().expect("take").expect("there");
        assert_ne!(other.ptr, raw.ptr, "reused under the stream");
        subscription.return_raw(other.index).expect("held");
    }
    let mut bytes = vec![0; 8000];
    device.copy_to_host(&mut bytes).expect("there");
    assert_eq!(whole(&bytes), Some((0, 1)));
    let room = || std::iter::from_fn(|| publisher.loan_on_device(8000).ok()).collect::<Vec<_>>().len();
    let under_the_stream = room();
    shelf::finish(stream);
    assert_eq!(room(), under_the_stream + 1, "free when the stream has passed");
    // Where the device cannot say when that is, the message is given back at once, and the caller is told.
    send(&publisher, 5000, 64);
    let raw = subscription.take_raw().expect("take").expect("there");
    let error = subscription.return_raw_after(&raw, BROKEN).expect_err("no such stream");
    assert!(matches!(error, ReturnError::Device(_)) && error.to_string().contains("SHELF_NO_STREAM"), "{error}");
    assert_eq!(subscription.return_raw(raw.index), Err(NotHeld));
}

#[test]
fn as_many_as_can_be_held_may_be_behind_streams_and_leaving_waits_for_them() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let (domain, stream) = (shelf(11), Stream(11));
    let publisher = publisher_in(&here, "leaving", domain);
    let subscription = subscription_in(&there, "leaving", domain);
    let most = hazcat_core::queue::MAX_HELD as u64;
    (1..=most + 1).for_each(|number| send(&publisher, number, 100));
    for _ in 0..most {
        let sample = subscription.take().expect("take").expect("there");
        sample.return_after(stream).expect("held");
    }
    assert!(matches!(subscription.take_raw(), Err(TakeError::TooManyHeld { .. })), "the streams have them all");
    shelf::finish(stream);
    let raw = subscription.take_raw().expect("take").expect("there");
    subscription.return_raw_after(&raw, stream).expect("held");
    std::thread::scope(|scope| {
        let leaving = scope.spawn(|| drop(subscription));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!leaving.is_finished(), "left while a stream reads");
        shelf::finish(stream);
    });
    drop(publisher);
    here.leave();
    there.leave();
    root.assert_empty();
}

#[test]
fn a_message_that_takes_long_to_be_made_is_copied_once_all_the_same() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let there: Vec<_> = (0..4).map(|_| patient(&root, PATIENCE)).collect();
    let (domain, stream) = (shelf(13), Stream(13));
    let publisher = publisher_in(&here, "long", domain);
    let subscriptions: Vec<_> = there.iter().map(|there| subscription_in(there, "long", HOST)).collect();
    send_from(&publisher, 1, 500, stream);
    std::thread::scope(|scope| {
        let takers: Vec<_> = subscriptions.iter().map(|one| scope.spawn(move || receive(one))).collect();
        wait_until("all wait for the message", || shelf::waiting(domain) == 4);
        // Not for one of them that holds the place and waits itself: the others would lose patience.
        let topic = subscriptions[0].topic();
        let at = Sequence(topic.ring().head().0 - 1);
        let place = topic.layout().places(0).map(|places| places.look(at));
        assert!(matches!(place, Some(Place::Vacant(_))), "{place:?}");
        shelf::finish(stream);
        takers.into_iter().for_each(|taker| assert_eq!(taker.join().expect("no panic"), Some(1)));
    });
    let counters: Vec<_> = subscriptions.iter().map(Subscription::counters).collect();
    assert_eq!(counters.iter().map(|counters| counters.copies()).sum::<u64>(), 1, "{counters:?}");
    assert_eq!(counters.iter().map(|counters| counters.shared_copies).sum::<u64>(), 3, "{counters:?}");
}

#[test]
fn messages_are_published_before_they_are_there_and_lost_if_their_stream_fails() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let (domain, stream, mine) = (shelf(12), Stream(12), Stream(1012));
    let publisher = publisher_in(&here, "later", domain);
    let (same, host) = (subscription_in(&there, "later", domain), subscription_in(&there, "later", HOST));
    send_from(&publisher, 1, 500, stream);
    // On a stream of one's own one goes on at once; a copy waits.
    let raw = same.take_raw().expect("take").expect("published");
    let device = same.device(&raw).expect("on the shelf");
    device.wait_ready(Some(mine)).expect("on the stream");
    assert!(!device.is_poisoned());
    std::thread::scope(|scope| {
        let copied = scope.spawn(|| receive(&host));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!copied.is_finished(), "copied before it was there");
        shelf::finish(stream);
        assert_eq!(copied.join().expect("no panic"), Some(1));
    });
    same.return_raw(raw.index).expect("held");
    // A message that never will be: the streams' work on it is garbage, copies of it are lost, and the next one is had.
    send_from(&publisher, 2, 500, stream);
    send(&publisher, 3, 500);
    let raw = same.take_raw().expect("take").expect("published");
    let device = same.device(&raw).expect("on the shelf");
    device.wait_ready(Some(mine)).expect("on the stream");
    shelf::fail(stream);
    assert!(device.is_poisoned());
    let error = device.wait_ready(None).expect_err("it never comes").to_string();
    assert!(error.contains("shelf:12") && error.contains("SHELF_PRODUCER_DIED"), "{error}");
    assert_eq!(receive(&host), Some(3));
    assert_eq!((host.lost().total, copies_by(&host)), (1, 2));
    assert_eq!(counted(&host, taken::MESSAGES), 2);
    same.return_raw(raw.index).expect("held");
}

/// The next message on the host.
fn receive(subscription: &Subscription) -> Option<u64> {
    receive_in(subscription, HOST).expect("take")
}

#[test]
fn host_memory_is_prepared_once_for_the_domains_that_copy_from_and_to_it() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let (source, target) = (shelf(20), shelf(21));
    let from_shelf = publisher_in(&here, "down", source);
    let from_host = publisher_in(&here, "up", HOST);
    let (down, up) = (subscription_in(&there, "down", HOST), subscription_in(&there, "up", target));
    let same = subscription_in(&there, "up", HOST);
    for number in 1..=30 {
        send(&from_shelf, number, 3000);
        send(&from_host, number, 3000);
        assert_eq!(receive(&down), Some(number));
        let raw = up.take_raw().expect("take").expect("there");
        assert_eq!(whole(&bytes_of(&up, &raw)), Some((0, number)));
        up.return_raw(raw.index).expect("held");
        assert_eq!(receive(&same), Some(number));
    }
    // The copier's own segments are written to, those of the publisher are read.
    let (written, read) = (shelf::pinned(source), shelf::pinned(target));
    assert!(!written.is_empty() && written.iter().all(|(len, writable)| *writable && *len >= 64 << 10), "{written:?}");
    assert!(!read.is_empty() && read.iter().all(|(_, writable)| !writable), "{read:?}");
    assert!(written.len() <= 3 && read.len() <= 3, "once per segment: {written:?} {read:?}");
    drop((down, up, same, from_shelf, from_host));
    here.leave();
    there.leave();
    assert!(shelf::pinned(source).is_empty() && shelf::pinned(target).is_empty(), "undone before it is unmapped");
    root.assert_empty();
}
