//! What others may do to shared memory, and what may run out: files overwritten, cut, replaced and removed while they are in use,
//! full memory, exhausted limits, other users, other namespaces, long lives. Nobody crashes, hangs or leaks, and when it is over
//! all goes on.
//!
//! `HAZCAT_LONG=1` runs the long versions; what needs rights that are not there says so and is skipped.

mod corruption;
mod exhaustion;
mod long_life;
mod lost_topics;
mod meetings;
mod namespaces;
mod permissions;
#[path = "../support/mod.rs"]
mod support;
mod truncation;
mod usage;

use support::{child_role, Watchdog};

/// Not a test: what children run.
#[test]
fn child() {
    let Some((role, config)) = child_role() else { return };
    let _watchdog = Watchdog::with_patience(std::time::Duration::from_secs(24 * 3600));
    let (role, argument) = role.split_once(' ').unwrap_or((&role, ""));
    match role {
        "use-everything" => corruption::use_everything(&config, argument.parse().expect("a seed")),
        "meet-a-bus-error" => truncation::meet_a_bus_error(&config, argument),
        "write-to-a-sample" => permissions::write_to_a_sample(&config),
        "live-in-a-container" => namespaces::live_in_a_container(&config, argument),
        "come-and-go" => long_life::come_and_go(&config, argument),
        "come-together" => meetings::come_together(&config, argument.parse().expect("a seed")),
        "outlive" => long_life::outlive(),
        "stay" => long_life::stay(),
        "keep-busy" => long_life::keep_busy(&config, argument),
        "be-generous" => exhaustion::be_generous(&config),
        "sweep-short" => exhaustion::sweep_short(&config),
        "use-topic" => lost_topics::use_topic(&config, argument),
        "go-short" => exhaustion::go_short(&config, argument),
        other => panic!("no role {other}"),
    }
}
