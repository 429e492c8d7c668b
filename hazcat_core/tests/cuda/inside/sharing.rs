//! Many who want a segment at once, and files that are not what they should be.

use super::processes::{role_to_map, Message, Other, LEN};
use super::scene::{Scene, MIB};
use hazcat_core::domain::{cuda, AllocateError, Readiness};
use hazcat_core::ids::SegmentId;
use std::os::unix::fs::FileExt;

#[test]
fn many_readers_and_several_messages() {
    let Some(scene) = Scene::new() else { return };
    let mut producer = Other::start(scene.root(), "produce 20 3", &[]);
    let messages: Vec<_> = (0..3).map(|_| Message::heard(&mut producer)).collect();
    let start = |message| Other::start(scene.root(), &role_to_map(message), &[]);
    let mut readers: Vec<_> = messages.iter().flat_map(|message| [start(message), start(message)]).collect();
    for reader in &mut readers {
        assert_eq!(reader.hear(), [0]);
    }
    for message in &messages {
        let remote = scene.domain.remap(&scene.folder(), message.segment, Scene::owner().word()).unwrap();
        remote.wait_ready(message.readiness, None).unwrap();
        let mut found = vec![0; LEN];
        remote.copy_to_host(message.offset, &mut found).unwrap();
        assert!(found == super::scene::pattern(message.seed, LEN));
    }
    producer.say();
    producer.end();
}

#[test]
fn a_segment_of_another_device_or_of_nobody_is_refused() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let piece = allocator.allocate(MIB).unwrap();
    let segment = allocator.share(piece.segment).unwrap();
    if let Ok(second) = hazcat_core::domain::registry::resolve("cuda:1") {
        assert!(second.remap(&scene.folder(), segment, Scene::owner().word()).is_err(), "another device's");
    }
    assert!(scene.domain.remap(&scene.folder(), SegmentId(segment.0 ^ 1), Scene::owner().word()).is_err());
    let remote = scene.remap(allocator.as_ref(), &piece);
    for word in [1, u64::MAX, 5000 << 48] {
        assert!(remote.wait_ready(Readiness(word), None).is_err(), "{word:#x} is no mark");
    }
}

#[test]
fn a_scribbled_file_costs_the_segment_and_nothing_else() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let piece = allocator.allocate(MIB).unwrap();
    let segment = allocator.share(piece.segment).unwrap();
    let path = allocator.paths().remove(0);
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut good = [0; 256];
    file.read_exact_at(&mut good, 0).unwrap();
    // Everything but the sockets and the marks, word by word.
    for word in 0..8 {
        for garbage in [0u64, 1, u64::MAX, 1 << 40, (isize::MAX as u64 / 4096) * 4096] {
            if good[word * 8..][..8] == garbage.to_le_bytes() {
                continue;
            }
            file.write_all_at(&garbage.to_le_bytes(), word as u64 * 8).unwrap();
            match scene.domain.remap(&scene.folder(), segment, Scene::owner().word()) {
                // A length inside what is mapped, or the owner, which nobody needs here: then what is there can be read.
                Ok(remote) => {
                    assert!(remote.copy_to_host(0, &mut [0; 1]).is_ok() || word == 6, "word {word}: {garbage:#x}")
                }
                Err(AllocateError::System(_) | AllocateError::Device(_)) => {}
                Err(other) => panic!("word {word}: {garbage:#x}: {other}"),
            }
            file.write_all_at(&good, 0).unwrap();
        }
    }
    scene.remap(allocator.as_ref(), &piece);
    assert!(cuda::devices().is_ok());
}
