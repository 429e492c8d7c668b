//! Processes that die: with work on their streams, and with memory that others want.

use super::processes::{role_to_map, Message, Other, LEN};
use super::scene::{wait_until, Scene};
use hazcat_core::domain::{AllocateError, CopyError};
use hazcat_core::sys::shm_file::FileError;
use hazcat_core::Participant;
use std::time::Duration;

fn is_producer_died(error: &CopyError) -> bool {
    matches!(error, CopyError::Device(error) if error.name == "HAZCAT_PRODUCER_DIED")
}

#[test]
fn who_waits_for_a_producer_that_dies_is_told() {
    let Some(scene) = Scene::new() else { return };
    // A kernel that takes longer than anybody waits.
    let mut producer = Other::start(scene.root(), "produce 1000000 1", &[]);
    let message = Message::heard(&mut producer);
    let remote = scene.domain.remap(&scene.folder(), message.segment, Scene::owner().word()).unwrap();
    let waiting = {
        let remote = remote.clone();
        std::thread::spawn(move || remote.wait_ready(message.readiness, None))
    };
    let stream = scene.stream();
    let streamed = std::thread::scope(|scope| {
        let streamed = scope.spawn(|| remote.wait_ready(message.readiness, Some(stream.stream())));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished(), "the producer is alive and not done");
        producer.kill();
        streamed.join().expect("no panic")
    });
    let told = waiting.join().expect("no panic").expect_err("it never came");
    assert!(is_producer_died(&told), "{told}");
    // The stream goes on (or, where streams cannot wait, the thread was told as well).
    if let Err(error) = streamed {
        assert!(is_producer_died(&error), "{error}");
    }
    stream.synchronize().expect("nobody waits for ever");
    let told = remote.wait_ready(message.readiness, None).expect_err("checked before results are used");
    assert!(is_producer_died(&told), "{told}");
}

#[test]
fn a_death_is_noticed_while_the_driver_waits_for_all_streams() {
    let Some(scene) = Scene::new() else { return };
    if std::env::var_os("FAKE_CUDA_LACKS").is_some() {
        // No stream waits there.
        return;
    }
    let mut quick = Other::start(scene.root(), "produce 50 1", &[]);
    let mut endless = Other::start(scene.root(), "produce 1000000 1", &[]);
    let (soon, never) = (Message::heard(&mut quick), Message::heard(&mut endless));
    let remap =
        |message: &Message| scene.domain.remap(&scene.folder(), message.segment, Scene::owner().word()).unwrap();
    let (first, second) = (scene.stream(), scene.stream());
    let kept = remap(&never);
    kept.wait_ready(never.readiness, Some(second.stream())).unwrap();
    remap(&soon).wait_ready(soon.readiness, Some(first.stream())).unwrap();
    first.synchronize().unwrap();
    // What nobody has any more is unmapped in the background now, and the driver waits for the second stream before it does so.
    std::thread::sleep(Duration::from_millis(100));
    endless.kill();
    second.synchronize().expect("nobody waits for ever");
    assert!(kept.is_poisoned(never.readiness));
}

#[test]
fn memory_outlives_its_maker_where_anybody_has_it_and_is_passed_on() {
    let Some(scene) = Scene::new() else { return };
    let mut producer = Other::start(scene.root(), "produce 0 1", &[]);
    let message = Message::heard(&mut producer);
    let mut reader = Other::start(scene.root(), &role_to_map(&message), &[]);
    assert_eq!(reader.hear(), [0], "bytes of another process, on the device");
    producer.kill();
    // Neither this process nor this third one has seen it before.
    let mut late = Other::start(scene.root(), &role_to_map(&message), &[]);
    assert_eq!(late.hear(), [0], "from the one that has it still");
    reader.kill();
    let remote =
        scene.domain.remap(&scene.folder(), message.segment, Scene::owner().word()).expect("from the late one");
    let stream = scene.stream();
    assert_eq!(scene.wrong(&stream, remote.address(message.offset, LEN).unwrap(), LEN, message.seed), 0);
    late.end();
}

#[test]
fn memory_that_nobody_has_any_more_is_lost_and_said_to_be() {
    let Some(scene) = Scene::new() else { return };
    let mut producer = Other::start(scene.root(), "produce 0 1", &[]);
    let message = Message::heard(&mut producer);
    producer.kill();
    let lost = scene.domain.remap(&scene.folder(), message.segment, Scene::owner().word()).map(drop).expect_err("gone");
    assert!(matches!(lost, AllocateError::System(FileError::Missing { .. })), "{lost}");
}

#[test]
fn a_stopped_maker_holds_nobody_up_for_long() {
    let Some(scene) = Scene::new() else { return };
    let mut producer = Other::start(scene.root(), "produce 0 1", &[]);
    let message = Message::heard(&mut producer);
    producer.stop();
    let started = std::time::Instant::now();
    let refused = scene.domain.remap(&scene.folder(), message.segment, Scene::owner().word()).map(drop);
    assert!(matches!(refused, Err(AllocateError::System(FileError::Io { .. }))), "{refused:?}");
    println!("a stopped process held up {:?}", started.elapsed());
    producer.go_on();
    scene.domain.remap(&scene.folder(), message.segment, Scene::owner().word()).expect("it goes on");
}

#[test]
fn the_sockets_of_the_dead_are_swept() {
    let Some(scene) = Scene::new() else { return };
    let sockets = || {
        let folder = scene.folder().directory.path().join("sockets");
        std::fs::read_dir(folder).map(|entries| entries.count()).unwrap_or(0)
    };
    let participant = Participant::join(&scene.config()).expect("join");
    let mut producer = Other::start(scene.root(), "produce 0 1", &[]);
    Message::heard(&mut producer);
    assert_eq!(sockets(), 1);
    producer.kill();
    assert_eq!(sockets(), 1, "a killed process leaves its socket");
    let topic = hazcat_core::TopicKey { name: "/any".into(), type_name: "any".into(), type_hash: 0 };
    // Opening the first topic sweeps the directory.
    let publisher = hazcat_core::Publisher::new(&participant, &topic, hazcat_core::PublisherOptions::default());
    wait_until("the socket is removed", || sockets() == 0);
    drop(publisher);
    participant.leave();
}

#[test]
fn a_process_ends_with_work_under_way_and_calls_no_driver_that_is_down() {
    let Some(scene) = Scene::new() else { return };
    let mut ending = Other::start(scene.root(), "exit", &[]);
    assert_eq!(ending.hear(), [1]);
    // Its handler at exit says what it was told there.
    assert_eq!(ending.hear(), [2], "an operation after the end was not refused");
    ending.end();
}

#[test]
fn a_forked_child_is_refused_and_harms_nothing() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let piece = allocator.allocate(1000).unwrap();
    allocator.copy_from(&[7; 1000], &piece, 0).unwrap();
    let remote = scene.remap(allocator.as_ref(), &piece);
    // SAFETY: the child uses only what is here, and leaves by _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let refused = remote.copy_to_host(piece.byte_offset(), &mut [0; 10]);
        let forked = matches!(&refused, Err(CopyError::Device(error)) if error.name == "HAZCAT_FORKED_CHILD");
        drop(remote);
        drop(allocator);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if forked { 42 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(libc::WEXITSTATUS(status), 42);
    let mut found = [0; 1000];
    remote.copy_to_host(piece.byte_offset(), &mut found).expect("unharmed");
    assert_eq!(found, [7; 1000]);
}
