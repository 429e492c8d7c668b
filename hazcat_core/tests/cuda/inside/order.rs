//! What waits for what: streams for streams, threads for streams, memory for streams, and nobody else.

use super::processes::{Message, Other, LEN};
use super::scene::{pattern, wait_until, Scene, MIB};
use crate::fake;
use hazcat_core::domain::{CopyError, DomainAllocator, Readiness};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_millis(300);

/// Whether something takes less time than a stream that is busy for so long: not a limit, since a machine that is busy itself gets
/// longer and longer ones.
fn is_quicker_than_a_stream(mut try_it: impl FnMut(Duration) -> bool) -> bool {
    [1, 4, 16].into_iter().any(|times| try_it(LONG * times))
}

#[test]
fn publishing_does_not_wait_for_the_stream_and_reading_does() {
    let Some(scene) = Scene::new() else { return };
    let quick = is_quicker_than_a_stream(|long| {
        let mut allocator = scene.allocator();
        let stream = scene.stream();
        let piece = allocator.allocate(MIB).unwrap();
        let at = allocator.address(&piece).unwrap();
        let started = Instant::now();
        scene.fill_later(&stream, long, at, MIB, 5);
        let readiness = allocator.mark_ready(&piece, stream.stream()).unwrap();
        let marked = started.elapsed();
        let remote = scene.remap(allocator.as_ref(), &piece);
        assert_ne!(readiness, Readiness::NOW);
        remote.wait_ready(readiness, None).unwrap();
        assert!(started.elapsed() >= long, "waited for the stream");
        let mut found = vec![0; MIB];
        remote.copy_to_host(piece.byte_offset(), &mut found).unwrap();
        assert!(found == pattern(5, MIB));
        remote.wait_ready(readiness, None).expect("still ready");
        remote.wait_ready(Readiness::NOW, None).expect("always ready");
        marked < long
    });
    assert!(quick, "marking waits for the stream");
}

#[test]
fn a_stream_waits_for_a_stream_of_another_process() {
    let Some(scene) = Scene::new() else { return };
    let mut other = Other::start(scene.root(), "produce 100 5", &[]);
    let messages: Vec<_> = (0..5).map(|_| Message::heard(&mut other)).collect();
    for message in messages {
        let stream = scene.stream();
        let remote = scene.domain.remap(&scene.folder(), message.segment, Scene::owner().word()).unwrap();
        remote.wait_ready(message.readiness, Some(stream.stream())).unwrap();
        // Nobody waited on the host: the kernel that checks comes behind what the other process's stream does.
        let at = remote.address(message.offset, LEN).unwrap();
        assert_eq!(scene.wrong(&stream, at, LEN, message.seed), 0, "message {}", message.seed);
    }
    other.end();
}

#[test]
fn two_streams_that_fill_a_message_are_both_waited_for() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let (slow, fast) = (scene.stream(), scene.stream());
    let piece = allocator.allocate(MIB).unwrap();
    let at = allocator.address(&piece).unwrap();
    let started = Instant::now();
    scene.fill_later(&slow, LONG, at, MIB, 1);
    allocator.mark_ready(&piece, slow.stream()).unwrap();
    let readiness = allocator.mark_ready(&piece, fast.stream()).unwrap();
    let remote = scene.remap(allocator.as_ref(), &piece);
    remote.wait_ready(readiness, None).unwrap();
    // (Unmapping waits for streams too: not before the clock is read.)
    assert!(started.elapsed() >= LONG, "the second mark came before the first");
}

#[test]
fn memory_that_a_stream_still_writes_is_not_handed_out() {
    let Some(scene) = Scene::new() else { return };
    let budget = 4 * MIB;
    let mut allocator = scene.domain.allocator(&scene.folder(), Scene::owner(), budget).unwrap();
    let stream = scene.stream();
    let piece = allocator.allocate(3 * MIB).unwrap();
    let at = allocator.address(&piece).unwrap();
    let started = Instant::now();
    scene.fill_later(&stream, LONG, at, 3 * MIB, 9);
    allocator.mark_ready(&piece, stream.stream()).unwrap();
    allocator.deallocate(piece);
    assert!(allocator.would_fit(3 * MIB, &[]), "it will, soon");
    let again = allocator.allocate(3 * MIB).expect("the only place there is");
    assert!(started.elapsed() >= LONG, "handed out while it was written");
    assert_eq!(allocator.address(&again), Some(at));
}

#[test]
fn an_endpoint_that_leaves_waits_for_nothing_and_takes_nothing_away() {
    let Some(scene) = Scene::new() else { return };
    let quick = is_quicker_than_a_stream(|long| {
        let mut allocator = scene.allocator();
        let stream = scene.stream();
        let piece = allocator.allocate(MIB).unwrap();
        let remote = scene.remap(allocator.as_ref(), &piece);
        let started = Instant::now();
        scene.fill_later(&stream, long, allocator.address(&piece).unwrap(), MIB, 4);
        let readiness = allocator.mark_ready(&piece, stream.stream()).unwrap();
        drop(allocator);
        let left = started.elapsed();
        remote.wait_ready(readiness, None).unwrap();
        assert!(started.elapsed() >= long);
        let mut found = vec![0; MIB];
        remote.copy_to_host(piece.byte_offset(), &mut found).unwrap();
        assert!(found == pattern(4, MIB));
        left < long
    });
    assert!(quick, "leaving waits for the stream");
}

#[test]
fn what_is_to_happen_when_a_stream_has_passed_happens_then_and_may_use_cuda() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let stream = scene.stream();
    let piece = allocator.allocate(100).unwrap();
    let remote = scene.remap(allocator.as_ref(), &piece);
    let passed = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    scene.kernels.spin(stream.stream(), LONG.as_nanos() as u64).unwrap();
    let then = {
        // The last hold on a mapping: unmapping it calls the driver.
        let (passed, mapping) = (Arc::clone(&passed), scene.remap(allocator.as_ref(), &piece));
        Box::new(move || {
            drop(mapping);
            passed.store(true, Ordering::SeqCst);
        })
    };
    remote.when_done(stream.stream(), then).unwrap();
    assert!(!passed.load(Ordering::SeqCst) || started.elapsed() >= LONG, "before the stream passed");
    wait_until("it happens", || passed.load(Ordering::SeqCst));
    assert!(started.elapsed() >= LONG);
}

#[test]
fn more_messages_than_marks_can_be_under_way() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let (busy, stream) = (scene.stream(), scene.stream());
    let pieces: Vec<_> = (0..4200).map(|_| allocator.allocate(64).unwrap()).collect();
    let remote = scene.remap(allocator.as_ref(), &pieces[0]);
    scene.kernels.spin(busy.stream(), LONG.as_nanos() as u64).unwrap();
    let mark = |allocator: &mut dyn DomainAllocator| {
        pieces.iter().map(|piece| allocator.mark_ready(piece, stream.stream()).unwrap()).collect::<Vec<_>>()
    };
    let marks = mark(allocator.as_mut());
    assert!(marks.contains(&Readiness::NOW), "the last ones waited here");
    let distinct: std::collections::HashSet<_> = marks.iter().map(|readiness| readiness.0).collect();
    assert!(distinct.len() > 4000, "{}", distinct.len());
    for (piece, readiness) in pieces.iter().zip(&marks).filter(|(piece, _)| piece.segment == pieces[0].segment) {
        remote.wait_ready(*readiness, None).unwrap_or_else(|error| panic!("{piece:?}: {error}"));
    }
    pieces.into_iter().for_each(|piece| allocator.deallocate(piece));
}

#[test]
fn a_stream_may_come_to_its_wait_long_after_everybody_has_let_go() {
    let Some(scene) = Scene::new() else { return };
    let (slow, producing) = (scene.stream(), scene.stream());
    let before = fake::in_use();
    {
        let mut allocator = scene.allocator();
        let piece = allocator.allocate(1000).unwrap();
        scene.kernels.spin(producing.stream(), 30_000_000).unwrap();
        let readiness = allocator.mark_ready(&piece, producing.stream()).unwrap();
        scene.kernels.spin(slow.stream(), LONG.as_nanos() as u64).unwrap();
        let remote = scene.remap(allocator.as_ref(), &piece);
        remote.wait_ready(readiness, Some(slow.stream())).unwrap();
        remote.wait_ready(readiness, None).unwrap();
        allocator.paths().iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
    // The mark is there; the stream has not even come to the wait for it, and will look at the word then.
    slow.synchronize().expect("what it waits for is still there");
    wait_until("all is given back", || fake::in_use() == before);
}

#[test]
fn a_stream_that_is_captured_is_refused_and_no_capture_is_disturbed() {
    let Some(scene) = Scene::new() else { return };
    let refused = |result: Result<(), CopyError>| {
        let error = result.expect_err("a graph runs often, a mark is written once");
        assert!(error.to_string().contains("HAZCAT_STREAM_IS_CAPTURING"), "{error}");
    };
    let quick = is_quicker_than_a_stream(|long| {
        let mut allocator = scene.allocator();
        let (stream, captured) = (scene.stream(), scene.stream());
        let piece = allocator.allocate(MIB).unwrap();
        let remote = scene.remap(allocator.as_ref(), &piece);
        let began = Instant::now();
        scene.kernels.spin(stream.stream(), long.as_nanos() as u64).unwrap();
        let pending = allocator.mark_ready(&piece, stream.stream()).unwrap();
        if !fake::capture(captured.stream().0, true) {
            return true;
        }
        refused(allocator.mark_ready(&piece, captured.stream()).map(drop));
        refused(remote.when_done(captured.stream(), Box::new(|| panic!("refused, but called"))));
        let waited = remote.wait_ready(pending, Some(captured.stream()));
        let in_time = began.elapsed() < long;
        // Streams that cannot wait make the thread wait, whatever they do.
        if std::env::var_os("FAKE_CUDA_LACKS").is_none() && in_time {
            refused(waited);
        }
        // All the rest goes on, beside the capture: what is watched in the background as well.
        let more = allocator.allocate(20 * MIB).unwrap();
        allocator.copy_from(&[1; 1000], &more, 0).unwrap();
        allocator.copy_to(&more, 0, &mut [0; 1000]).unwrap();
        remote.wait_ready(pending, None).unwrap();
        fake::capture(captured.stream().0, false);
        remote.when_done(captured.stream(), Box::new(|| ())).expect("it is an ordinary stream again");
        in_time || std::env::var_os("FAKE_CUDA_LACKS").is_some()
    });
    assert!(quick, "never in time to be refused");
}
