//! What goes wrong on a device: errors as values, by CUDA's names, and no hang.

use super::scene::{wait_until, Scene, MIB};
use crate::fake;
use hazcat_core::domain::{AllocateError, CopyError};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_device_without_memory_says_so_and_leaves_nothing_behind() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let Some(before) = fake::in_use() else { return };
    let files = || std::fs::read_dir(scene.folder().directory.path().join("payload")).unwrap().count();
    for step in ["cuMemCreate", "cuMemExportToShareableHandle", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess"] {
        // Each is tried again once: with less, and after what nobody needs has been let go of.
        fake::order_failure(step, 2, 0, 4);
        let error = allocator.allocate(MIB).expect_err(step);
        assert!(error.is_for_want_of_room(), "{step}: {error}");
        assert!(error.to_string().contains("CUDA_ERROR_OUT_OF_MEMORY"), "{step}: {error}");
        // What is left of the order.
        while allocator.allocate(MIB).is_err() {}
        allocator.paths().iter().for_each(|path| std::fs::remove_file(path).unwrap());
        allocator = scene.allocator();
        wait_until("nothing stays behind", || fake::in_use().unwrap() == before);
        assert_eq!(files(), 0, "{step}");
    }
}

#[test]
fn a_copy_that_fails_has_cudas_name_and_the_next_one_works() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let piece = allocator.allocate(1000).unwrap();
    for step in ["cuMemcpyHtoDAsync_v2", "cuStreamCreate"] {
        if !fake::order_failure(step, 700, 0, 1) {
            return;
        }
        let error = allocator.copy_from(&[1; 1000], &piece, 0);
        // A stream is made only where there is none to be used again.
        match error {
            Err(CopyError::Device(error)) => assert_eq!(error.name, "CUDA_ERROR_ILLEGAL_ADDRESS", "{step}"),
            other => assert!(step == "cuStreamCreate" && other.is_ok(), "{step}: {other:?}"),
        }
    }
    let _ = allocator.copy_from(&[2; 1000], &piece, 0);
    allocator.copy_from(&[3; 1000], &piece, 0).expect("the next one");
    let mut found = [0; 1000];
    allocator.copy_to(&piece, 0, &mut found).unwrap();
    assert_eq!(found, [3; 1000]);
}

#[test]
fn a_mapping_that_fails_is_an_error_and_the_next_one_works() {
    let Some(scene) = Scene::new() else { return };
    let mut allocator = scene.allocator();
    let piece = allocator.allocate(1000).unwrap();
    let segment = allocator.share(piece.segment).unwrap();
    let before = fake::in_use();
    for step in ["cuMemImportFromShareableHandle", "cuMemAddressReserve", "cuMemMap"] {
        if !fake::order_failure(step, 2, 0, 1) {
            return;
        }
        let error = scene.domain.remap(&scene.folder(), segment, Scene::owner().word()).map(drop).expect_err(step);
        assert!(matches!(error, AllocateError::Device(_)), "{step}: {error}");
        assert_eq!(fake::in_use(), before, "{step}");
    }
    scene.remap(allocator.as_ref(), &piece).copy_to_host(piece.byte_offset(), &mut [0; 1000]).unwrap();
}

#[test]
fn when_a_device_fails_nobody_waits_for_what_it_was_to_do() {
    let Some(scene) = Scene::new() else { return };
    if !fake::is_on() {
        return;
    }
    let mut allocator = scene.allocator();
    let stream = scene.stream();
    let piece = allocator.allocate(1000).unwrap();
    let remote = scene.remap(allocator.as_ref(), &piece);
    let happened = Arc::new(AtomicU32::new(0));
    // (Long enough for a busy machine to come to the end of it in time.)
    scene.kernels.spin(stream.stream(), 2_000_000_000).unwrap();
    let readiness = allocator.mark_ready(&piece, stream.stream()).unwrap();
    for _ in 0..3 {
        let happened = Arc::clone(&happened);
        remote.when_done(stream.stream(), Box::new(move || _ = happened.fetch_add(1, Ordering::SeqCst))).unwrap();
    }
    fake::break_device(0);
    wait_until("what was to happen happens", || happened.load(Ordering::SeqCst) == 3);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(happened.load(Ordering::SeqCst), 3, "each of them once");
    match remote.wait_ready(readiness, None) {
        Err(CopyError::Device(error)) => assert_eq!(error.name, "HAZCAT_PRODUCER_DIED"),
        // Without words for streams the host says when, and it does not know.
        other => assert!(other.is_ok() && std::env::var("FAKE_CUDA_LACKS").is_ok(), "{other:?}"),
    }
    let error = allocator.copy_to(&piece, 0, &mut [0; 10]).expect_err("the device has failed");
    assert!(error.to_string().contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{error}");
    let refused = remote.when_done(stream.stream(), Box::new(|| panic!("refused, but called")));
    assert!(refused.is_err());
}
