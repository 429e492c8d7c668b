//! Contexts: discovery ranges, domains, the process's end.

use crate::support::*;
use rmw_hazcat_rs::abi::graph::rmw_count_publishers;
use rmw_hazcat_rs::abi::init::rmw_init;
use rmw_hazcat_rs::abi::init_options::rmw_init_options_fini;
use rmw_hazcat_rs::ffi;

fn publishers(node: &Node) -> usize {
    let mut count = 99;
    ok(unsafe { rmw_count_publishers(node.0, c"/t".as_ptr(), &mut count) });
    count
}

#[test]
fn domains_do_not_see_each_other() {
    let (mut here, mut there) = (Context::new(new_domain()), Context::new(new_domain()));
    let (node, other) = (here.node("here"), there.node("there"));
    let _publisher = other.publisher("/t", crate::types::pair(), &qos());
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!((publishers(&node), publishers(&other)), (0, 1));
}

#[cfg(rmw_discovery_options)]
#[test]
fn a_context_without_discovery_is_alone_and_works() {
    let domain = new_domain();
    let mut open = Context::new(domain);
    let open_node = open.node("open");
    let _open_publisher = open_node.publisher("/t", crate::types::pair(), &qos());
    let folder = {
        let mut isolated = options(domain, default_allocator());
        isolated.discovery_options.automatic_discovery_range = ffi::RMW_AUTOMATIC_DISCOVERY_RANGE_OFF;
        let mut alone = Context::with(isolated);
        let node = alone.node("alone");
        let publisher = node.publisher("/t", crate::types::pair(), &qos());
        let subscription = node.subscription("/t", crate::types::pair(), &qos());
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!((publishers(&node), publishers(&open_node)), (1, 1));
        publisher.publish(&crate::types::Pair { id: 3, ..Default::default() });
        let mut message = crate::types::Pair::default();
        assert!(subscription.take(&mut message));
        assert_eq!(message.id, 3);
        isolated_folders()
    };
    assert!(!folder.is_empty());
    for path in folder {
        assert!(!path.exists(), "{path:?}");
    }
}

#[cfg(rmw_discovery_options)]
fn isolated_folders() -> Vec<std::path::PathBuf> {
    let prefix = format!("hazcat-isolated-{}-{}-", unsafe { libc::getuid() }, std::process::id());
    let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(&prefix)).collect()
}

#[test]
fn security_cannot_be_enforced() {
    let mut options = options(new_domain(), default_allocator());
    options.security_options.enforce_security = ffi::RMW_SECURITY_ENFORCEMENT_ENFORCE;
    let mut context = ffi::rmw_context_t::default();
    fails(unsafe { rmw_init(&options, &mut context) }, ffi::RMW_RET_UNSUPPORTED);
    ok(unsafe { rmw_init_options_fini(&mut options) });
}

/// Where it is not enforced, who has keys is told that they are not used.
#[test]
fn security_that_is_not_enforced_is_warned_of() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "options::permissive", "--ignored", "--nocapture"])
        .env(PERMISSIVE, new_domain().to_string())
        .env("HAZCAT_LOG", "warn")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no DDS security"));
}

const PERMISSIVE: &str = "HAZCAT_TEST_PERMISSIVE";

#[test]
#[ignore = "a part of another test"]
fn permissive() {
    let Ok(domain) = std::env::var(PERMISSIVE) else { return };
    let mut options = options(domain.parse().unwrap(), default_allocator());
    let path = unsafe { options.allocator.allocate.unwrap()(2, options.allocator.state) }.cast();
    unsafe { c"/".as_ptr().copy_to_nonoverlapping(path, 2) };
    options.security_options.security_root_path = path;
    drop(Context::with(options));
}

#[test]
fn nothing_stays_in_shared_memory() {
    let domain = new_domain();
    let folder = format!("/dev/shm/hazcat-{}-{domain}", unsafe { libc::getuid() });
    {
        let mut context = Context::new(domain);
        let node = context.node("leaving");
        let publisher = node.publisher("/t", crate::types::text(), &qos());
        let _subscription = node.subscription("/t", crate::types::text(), &qos());
        let _service = node.service("/ask", crate::types::ask());
        publisher.publish(&crate::types::Text::of("bye"));
        assert!(std::path::Path::new(&folder).is_dir());
    }
    assert!(!std::path::Path::new(&folder).exists());
}

/// rclpy never destroys the type description service of a node (Jazzy). It goes with the node for others, and with the context for
/// good: threads, descriptors and the place in the domain would stay otherwise, for each context that a program makes.
#[test]
fn a_context_takes_along_what_its_nodes_left_behind() {
    use crate::types::{ask, pair};
    use rmw_hazcat_rs::abi::subscription::rmw_destroy_subscription;
    let domain = new_domain();
    let folder = format!("/dev/shm/hazcat-{}-{domain}", unsafe { libc::getuid() });
    for node_first in [true, false] {
        let mut context = Context::new(domain);
        let (node, second) = (context.node("leaving"), context.node("staying"));
        let mut other = Context::new(domain);
        let other_node = other.node("other");
        let client = other_node.client("/ask", ask());
        std::mem::forget(node.service("/ask", ask()));
        std::mem::forget(node.client("/unanswered", ask()));
        std::mem::forget(node.subscription("/t", pair(), &qos()));
        // One that is destroyed later, with the handle of another node: wrong, but no crash.
        let late = node.subscription("/t", pair(), &qos());
        let late_handle = late.0;
        std::mem::forget(late);
        drop(node.service("/ask", ask()));
        until("the service", || crate::services::is_available(&other_node, &client));
        drop(node);
        until("the end of the service", || !crate::services::is_available(&other_node, &client));
        drop(client);
        drop((other_node, other));
        ok(unsafe { rmw_destroy_subscription(second.0, late_handle) });
        if node_first {
            drop(second);
            drop(context);
        } else {
            drop(context);
            assert!(std::path::Path::new(&folder).exists(), "it still has a node");
            drop(second);
        }
        assert!(!std::path::Path::new(&folder).exists(), "the last one out removes the folder");
    }
}

/// Programs make node after node in one context.
#[test]
fn what_many_nodes_left_behind_does_not_add_up() {
    let domain = new_domain();
    let mut context = Context::new(domain);
    let folder = format!("/dev/shm/hazcat-{}-{domain}/topics", unsafe { libc::getuid() });
    let topics = || std::fs::read_dir(&folder).unwrap().count();
    for number in 0..300 {
        let node = context.node("leaving");
        std::mem::forget(node.service(&format!("/s{number}"), crate::types::ask()));
        drop(node);
        assert!(topics() < 70, "after {number}");
    }
    assert!(topics() > 50, "what is left behind is still there for a while");
}
