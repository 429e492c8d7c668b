//! What the general suite cannot know of: images, addresses, limits of the memory.

use super::processes::Other;
use super::scene::{pattern, Scene, MIB};
use crate::fake;
use hazcat_core::domain::{cuda, registry};

#[test]
fn kernels_fill_check_and_change_messages_in_place() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let stream = scene.stream();
    for len in [1, 8, 4099, 3 * MIB + 1] {
        let piece = allocator.allocate(len).unwrap();
        let at = allocator.address(&piece).unwrap();
        // SAFETY: an allocation of ours, kept until the stream is done.
        unsafe { scene.kernels.fill(stream.stream(), at, len, 7) }.unwrap();
        assert_eq!(scene.wrong(&stream, at, len, 7), 0, "{len} bytes");
        assert!(scene.wrong(&stream, at, len, 8) > 0, "another pattern is noticed");
        // SAFETY: as above.
        unsafe { scene.kernels.invert(stream.stream(), at, len) }.unwrap();
        stream.synchronize().unwrap();
        let mut found = vec![0; len];
        allocator.copy_to(&piece, 0, &mut found).unwrap();
        assert!(found.iter().zip(pattern(7, len)).all(|(found, wrote)| *found == 255 - wrote), "{len} bytes");
        allocator.deallocate(piece);
    }
}

#[test]
fn host_code_that_touches_a_message_dies_of_it() {
    let Some(scene) = Scene::new() else { return };
    let mut other = Other::start(scene.root(), "touch", &[]);
    assert_eq!(other.hear(), [1]);
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.hear()));
    assert!(died.is_err(), "it went on");
}

#[test]
fn what_is_not_used_any_more_is_given_back() {
    let Some(scene) = Scene::new() else { return };
    let Some(before) = fake::in_use() else { return };
    {
        let mut allocator = scene.allocator();
        let pieces: Vec<_> = [100, MIB, 5 * MIB, 20 * MIB].map(|len| allocator.allocate(len).unwrap()).into();
        let stream = scene.stream();
        for piece in &pieces {
            let remote = scene.remap(allocator.as_ref(), piece);
            let readiness = allocator.mark_ready(piece, stream.stream()).unwrap();
            remote.wait_ready(readiness, Some(stream.stream())).unwrap();
            remote.wait_ready(readiness, None).unwrap();
            remote.copy_to_host(piece.byte_offset(), &mut [0; 100]).unwrap();
        }
        let during = fake::in_use().unwrap();
        assert!(during[2] > before[2] && during[4] > before[4], "{during:?}");
        allocator.paths().iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
    // The stream for copies is kept for the next copy.
    let expected = [before[0], before[1], before[2], before[3]];
    super::scene::wait_until("all is given back", || fake::in_use().unwrap()[..4] == expected);
}

#[test]
fn the_memory_of_a_removed_segment_is_let_go_of() {
    let Some(scene) = Scene::new() else { return };
    let memory = || {
        let links =
            std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().contains("fake-cuda-")).count()
    };
    if !fake::is_on() {
        return;
    }
    let before = memory();
    let mut allocator = scene.allocator();
    allocator.allocate(MIB).unwrap();
    let paths = allocator.paths();
    assert_eq!(memory(), before + 1, "one descriptor for a segment, and no handle of the driver's");
    drop(allocator);
    assert_eq!(memory(), before + 1, "an endpoint that leaves takes nothing away");
    paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    super::scene::wait_until("the descriptor is closed", || memory() == before);
}

#[test]
fn pinning_is_undone_once_per_range() {
    let Some(scene) = Scene::new() else { return };
    let Some(before) = fake::in_use() else { return };
    let second = cuda::device("1").unwrap();
    let bytes = vec![1u8; 3 * 4096];
    let first = cuda::pin_host(&scene.device, bytes.as_ptr(), bytes.len(), true).expect("pinned");
    let again = cuda::pin_host(&second, bytes.as_ptr(), bytes.len(), true).expect("for the other device too");
    assert!(cuda::pin_host(&second, bytes.as_ptr(), 4096, true).is_none(), "another length is refused");
    assert_eq!(fake::in_use().unwrap()[3], before[3] + 1);
    drop(first);
    assert_eq!(fake::in_use().unwrap()[3], before[3] + 1, "still in use");
    drop(again);
    assert_eq!(fake::in_use().unwrap()[3], before[3]);
    assert!(registry::kinds().contains(&"cuda".to_owned()));
}
