//! Preferences from the environment and from a file: each in a process of its own, which is this binary again.

use crate::memory_domains::{payload, publisher_in, subscription_in};
use crate::support::*;
use crate::types::{pair, text, Pair, Text};
use hazcat_core::domain::simulated::SimulatedDevice;
use rmw_hazcat_rs::abi::init::rmw_init;
use rmw_hazcat_rs::abi::init_options::rmw_init_options_fini;
use rmw_hazcat_rs::abi::loan::*;
use rmw_hazcat_rs::ffi;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PART: &str = "HAZCAT_TEST_PREFERENCES";

/// Plays a part, which must end well; what it said on stderr.
fn play(part: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("memory_preferences::{part}"), "--ignored", "--nocapture"])
        .envs(variables.iter().copied())
        .env(PART, new_domain().to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{part}: {}\n{said}", String::from_utf8_lossy(&output.stdout));
    said
}

fn domain() -> Option<usize> {
    std::env::var(PART).ok().map(|text| text.parse().unwrap())
}

struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hazcat-{name}-{}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_environment_puts_programs_on_devices_that_know_nothing_of_them() {
    let said = play("unaware", &[("HAZCAT_DOMAIN", "sim:7"), ("HAZCAT_LOG", "info")]);
    for side in ["publisher", "subscription"] {
        let line = format!("the {side} of node '/ns/unaware' on topic '/pairs': messages in memory domain sim:7");
        assert!(said.contains(&line), "{said}");
        let line = format!(
            "the {side} of node '/ns/unaware' on topic '/texts': messages in memory domain host, encoded as CDR"
        );
        assert!(said.contains(&line), "{said}");
    }
    assert!(said.contains("HAZCAT_DOMAIN") && said.contains("simulated device 7"), "{said}");
    let said = play("on_the_host", &[("HAZCAT_LOG", "info")]);
    assert!(said.contains("on topic '/pairs': messages in memory domain host"), "{said}");
}

#[test]
fn what_expires_is_not_copied_to_a_device_for_a_program_that_knows_nothing_of_it() {
    play("unaware_of_what_expires", &[("HAZCAT_DOMAIN", "sim:8")]);
}

#[test]
#[ignore = "a part of another test"]
fn unaware_of_what_expires() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let (wait_set, node) = (context.wait_set(), context.node("unaware"));
    let host = payload("host");
    let options = ffi::rmw_publisher_options_t {
        rmw_specific_publisher_payload: std::ptr::from_ref(&host).cast_mut().cast(),
        ..Default::default()
    };
    let lasting = ffi::rmw_qos_profile_t { lifespan: duration(Duration::from_secs(1000)), ..qos() };
    let publisher = node.publisher_with("/t", pair(), &lasting, &options);
    let subscription = node.subscription("/t", pair(), &qos());
    for id in 1..=3 {
        let message = Pair { id, ..Pair::default() };
        publisher.publish(&message);
        let mut what = For { subscriptions: vec![subscription.data()], ..For::default() };
        ok(wait_set.wait(&mut what, Some(Duration::ZERO)));
        let mut taken = Pair::default();
        assert!(subscription.take(&mut taken) && taken == message);
    }
    let counters = SimulatedDevice::get(8).unwrap().counters();
    assert_eq!((counters.from_host.operations, counters.to_host.operations), (0, 0), "from the host, to the host");
}

#[test]
#[ignore = "a part of another test"]
fn unaware() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let node = context.node("unaware");
    let (pairs, texts) = (node.publisher("/pairs", pair(), &qos()), node.publisher("/texts", text(), &qos()));
    let (some, others) = (node.subscription("/pairs", pair(), &qos()), node.subscription("/texts", text(), &qos()));
    let device = SimulatedDevice::get(7).unwrap();
    let message = Pair { id: 3, flag: true, value: 0.75 };
    pairs.publish(&message);
    assert_eq!((device.counters().allocations, device.counters().from_host.operations), (1, 1), "it is on the device");
    let mut taken = Pair::default();
    assert!(some.take(&mut taken));
    assert_eq!(taken, message);
    texts.publish(&Text::of("on the host"));
    let mut taken = Text::new();
    assert!(others.take(&mut taken));
    // Nobody is handed an address that it would follow: what is lent is copied across.
    assert!(unsafe { (*pairs.0).can_loan_messages && (*some.0).can_loan_messages });
    let (mut at, mut was_taken) = (std::ptr::null_mut(), false);
    for number in 4..8 {
        ok(unsafe { rmw_borrow_loaned_message(pairs.0, pair(), &mut at) });
        unsafe { at.cast::<Pair>().write(Pair { id: number, ..message }) };
        if number % 2 == 0 {
            ok(unsafe { rmw_return_loaned_message_from_publisher(pairs.0, at) });
            at = std::ptr::null_mut();
            continue;
        }
        ok(unsafe { rmw_publish_loaned_message(pairs.0, at, std::ptr::null_mut()) });
        fails(unsafe { rmw_publish_loaned_message(pairs.0, at, std::ptr::null_mut()) }, ffi::RMW_RET_INVALID_ARGUMENT);
        at = std::ptr::null_mut();
        ok(unsafe { rmw_take_loaned_message(some.0, &mut at, &mut was_taken, std::ptr::null_mut()) });
        assert!(was_taken);
        assert_eq!(unsafe { at.cast::<Pair>().read() }, Pair { id: number, ..message });
        ok(unsafe { rmw_return_loaned_message_from_subscription(some.0, at) });
        fails(unsafe { rmw_return_loaned_message_from_subscription(some.0, at) }, ffi::RMW_RET_ERROR);
        at = std::ptr::null_mut();
    }
    ok(unsafe { rmw_take_loaned_message(some.0, &mut at, &mut was_taken, std::ptr::null_mut()) });
    assert!(!was_taken && at.is_null());
    let counters = device.counters();
    assert_eq!((counters.allocations, counters.from_host.operations, counters.to_host.operations), (3, 3, 3));
    // Who knows what it is may leave to the configuration which device it is.
    let (open, closed) = (publisher_in(&node, "/open", ""), subscription_in(&node, "/open", "host"));
    ok(unsafe { rmw_borrow_loaned_message(open.0, pair(), &mut at) });
    assert!(hazcat_core::domain::simulated::contains(at.cast()));
    ok(unsafe { rmw_return_loaned_message_from_publisher(open.0, at) });
    assert!(unsafe { (*closed.0).can_loan_messages });
}

#[test]
#[ignore = "a part of another test"]
fn on_the_host() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let node = context.node("plain");
    let publisher = node.publisher("/pairs", pair(), &qos());
    let mut at = std::ptr::null_mut();
    ok(unsafe { rmw_borrow_loaned_message(publisher.0, pair(), &mut at) });
    assert!(!hazcat_core::domain::simulated::contains(at.cast()));
    unsafe { at.cast::<Pair>().write(Pair::default()) };
}

#[test]
fn a_file_decides_by_node_and_topic() {
    let rules =
        "[[endpoint]]\nnode = '/ns/filed'\ntopic = '/p*'\nkind = 'publisher'\ndomain = 'sim:8'\ndevice_loans = true\n\
                 [[endpoint]]\ntopic = '/missing'\ndomain = 'abacus:1'\n";
    let file = File::new("rules", rules);
    let said = play("filed", &[("HAZCAT_CONFIG", file.path()), ("HAZCAT_DOMAIN", "host"), ("HAZCAT_LOG", "warn")]);
    assert!(said.contains("'/missing'") && said.contains("abacus:1"), "{said}");
    assert!(said.contains(&format!("{}, line 9, key 'domain'", file.path())), "{said}");
}

#[test]
#[ignore = "a part of another test"]
fn filed() {
    let Some(domain) = domain() else { return };
    let mut context = Context::new(domain);
    let (node, another) = (context.node("filed"), context.node("another"));
    let is_on_device = |publisher: &Publisher<'_>| {
        let mut at = std::ptr::null_mut();
        ok(unsafe { rmw_borrow_loaned_message(publisher.0, pair(), &mut at) });
        let is_on_device = hazcat_core::domain::simulated::contains(at.cast());
        ok(unsafe { rmw_return_loaned_message_from_publisher(publisher.0, at) });
        is_on_device
    };
    assert!(is_on_device(&node.publisher("/pairs", pair(), &qos())));
    assert!(!is_on_device(&node.publisher("/pairs/left", pair(), &qos())));
    assert!(!is_on_device(&another.publisher("/pairs", pair(), &qos())));
    assert!(!is_on_device(&node.publisher("/missing", pair(), &qos())), "with a warning");
    assert!(!is_on_device(&publisher_in(&node, "/pairs", "host")), "the program goes first");
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let file = File::new("wrong", "# a rule\n[[endpoint]]\ndomain = 'sim:0'\nnodes = '/x'\n");
    for (variable, value, parts) in [
        ("HAZCAT_CONFIG", file.path(), vec![file.path(), "line 4", "nodes"]),
        ("HAZCAT_CONFIG", "/nowhere/at/all.toml", vec!["/nowhere/at/all.toml"]),
        ("HAZCAT_DOMAIN", "cuda:", vec!["HAZCAT_DOMAIN", "cuda:"]),
    ] {
        let said = play("refused", &[(variable, value)]);
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
#[ignore = "a part of another test"]
fn refused() {
    let Some(domain) = domain() else { return };
    let mut options = options(domain, default_allocator());
    let mut context = ffi::rmw_context_t::default();
    eprintln!("{}", fails(unsafe { rmw_init(&options, &mut context) }, ffi::RMW_RET_ERROR));
    ok(unsafe { rmw_init_options_fini(&mut options) });
}
