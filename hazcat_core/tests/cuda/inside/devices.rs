//! Which device is meant, and copies between devices.

use super::processes::Other;
use super::scene::{pattern, Scene, MIB};
use crate::fake;
use hazcat_core::domain::registry::{get, resolve};
use hazcat_core::domain::{cuda, DomainError};
use std::sync::Arc;

#[test]
fn a_device_is_found_by_number_uuid_and_domain() {
    let Some(scene) = Scene::new() else { return };
    let uuids = cuda::devices().unwrap();
    let uuid = uuids[0].to_string();
    assert!(uuid.starts_with("GPU-") && uuid.len() == 40, "{uuid}");
    let id = scene.domain.id();
    for text in ["cuda", "cuda:0", &format!("cuda:{uuid}"), &format!("cuda:{}", &uuid[..12]), &id.to_string()] {
        assert_eq!(resolve(text).unwrap_or_else(|error| panic!("{error}")).id(), id, "{text}");
    }
    assert!(Arc::ptr_eq(&get(id).unwrap(), &resolve("cuda:0").unwrap()), "one object per device");
    assert!(scene.domain.description().contains(&uuid), "{}", scene.domain.description());
    for text in ["cuda:99", "cuda:GPU-00000000-dead", "cuda:16777215"] {
        let error = resolve(text).map(|domain| domain.id()).expect_err(text);
        assert!(matches!(error, DomainError::NotAvailable { .. }) && error.to_string().contains(&uuid), "{error}");
    }
    for text in ["cuda:", "cuda:-1", "cuda:+1", "cuda:zero", "cuda:gpu-fa"] {
        assert!(matches!(resolve(text).map(|domain| domain.id()), Err(DomainError::Malformed { .. })), "{text}");
    }
}

#[test]
fn a_device_is_the_same_domain_whatever_number_it_has() {
    let Some(scene) = Scene::new() else { return };
    if !fake::is_on() {
        return;
    }
    let second = resolve("cuda:1").unwrap();
    assert_ne!(second.id(), scene.domain.id());
    let mut other = Other::start(scene.root(), "number", &[("FAKE_CUDA_ORDER", "1,0")]);
    assert_eq!(other.hear(), [u64::from(second.id().instance())], "number 0 there is number 1 here");
    other.end();
    let ambiguous = resolve("cuda:GPU-f").map(|domain| domain.id()).expect_err("both begin so");
    assert!(ambiguous.to_string().contains("several"), "{ambiguous}");
}

#[test]
fn bytes_are_copied_between_devices_and_from_the_host_and_the_simulated_one() {
    let Some(scene) = Scene::new() else { return };
    let Ok(second) = resolve("cuda:1") else { return };
    let len = 2 * MIB + 77;
    let mut target = second.allocator(&scene.folder(), Scene::owner(), 64 * MIB).unwrap();
    for kind in ["cuda:0", "host", "sim:0"] {
        let domain = resolve(kind).unwrap();
        let mut source = domain.allocator(&scene.folder(), Scene::owner(), 64 * MIB).unwrap();
        let from = source.allocate(len).unwrap();
        source.copy_from(&pattern(3, len), &from, 0).unwrap();
        let remote = domain.remap(&scene.folder(), source.share(from.segment).unwrap(), Scene::owner().word()).unwrap();
        let to = target.allocate(len).unwrap();
        for _ in 0..2 {
            target
                .copy_from_remote(remote.as_ref(), from.byte_offset(), len, &to)
                .unwrap_or_else(|e| panic!("{kind}: {e}"));
        }
        let mut found = vec![0; len];
        target.copy_to(&to, 0, &mut found).unwrap();
        assert!(found == pattern(3, len), "{kind}");
        target.deallocate(to);
    }
}
