//! Deep queues, what becomes of a depth that a ring cannot give, and the past that late subscriptions get.

use crate::matching::requested_qos;
use crate::support::*;
use crate::types::{pair, Pair};
use rmw_hazcat_rs::ffi;

type Profile = ffi::rmw_qos_profile_t;

fn deep(depth: usize) -> Profile {
    Profile { depth, ..qos() }
}

fn kept(depth: usize) -> Profile {
    Profile { durability: ffi::RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL, ..deep(depth) }
}

fn take_ids(subscription: &Subscription<'_>) -> Vec<u64> {
    let mut message = Pair::default();
    std::iter::from_fn(|| subscription.take(&mut message).then_some(message.id)).collect()
}

#[test]
fn a_thousand_and_ten_thousand_messages_wait_unread() {
    for depth in [1000, 10_000] {
        let mut context = Context::new(new_domain());
        let node = context.node("deep");
        let subscription = node.subscription("/t", pair(), &deep(depth));
        let publisher = node.publisher("/t", pair(), &qos());
        assert_eq!(requested_qos(&subscription).depth, depth);
        for id in 0..depth as u64 + 3 {
            publisher.publish(&Pair { id, ..Pair::default() });
        }
        assert_eq!(take_ids(&subscription), (3..depth as u64 + 3).collect::<Vec<_>>());
    }
}

/// Also the past may be so deep.
#[test]
fn a_late_subscription_gets_ten_thousand() {
    let mut context = Context::new(new_domain());
    let node = context.node("late");
    let publisher = node.publisher("/t", pair(), &kept(10_000));
    for id in 0..12_000 {
        publisher.publish(&Pair { id, ..Pair::default() });
    }
    let subscription = node.subscription("/t", pair(), &kept(10_000));
    assert_eq!(take_ids(&subscription), (2000..12_000).collect::<Vec<_>>());
}

/// The ring is there already, and too small: what is said is what is done.
#[test]
fn a_depth_that_the_ring_cannot_give_is_told() {
    let mut context = Context::new(new_domain());
    let node = context.node("cut");
    let publisher = node.publisher("/t", pair(), &qos());
    let subscription = node.subscription("/t", pair(), &deep(10_000));
    let depth = requested_qos(&subscription).depth;
    assert!((1000..10_000).contains(&depth), "{depth}");
    for id in 0..10_000 {
        publisher.publish(&Pair { id, ..Pair::default() });
    }
    assert_eq!(take_ids(&subscription), (10_000 - depth as u64..10_000).collect::<Vec<_>>());
}

/// As on /tf_static: every publisher's last messages, in the order in which they were published.
#[test]
fn a_late_subscription_gets_the_past_of_every_publisher() {
    let domain = new_domain();
    let mut contexts = [Context::new(domain), Context::new(domain), Context::new(domain)];
    let nodes = contexts.each_mut().map(|context| context.node("broadcaster"));
    let depths = [1, 2, 5];
    let publishers: Vec<_> =
        nodes.iter().zip(depths).map(|(node, depth)| node.publisher("/t", pair(), &kept(depth))).collect();
    // One after the other, 0 to 29: publisher n has published the ids that leave n when divided by three.
    for id in 0..30 {
        publishers[id as usize % 3].publish(&Pair { id, ..Pair::default() });
    }
    let everything = nodes[0].subscription("/t", pair(), &kept(100));
    let mut expected = vec![27, 25, 28, 17, 20, 23, 26, 29];
    expected.sort_unstable();
    assert_eq!(take_ids(&everything), expected);
    // At most its own depth of each.
    let two = nodes[1].subscription("/t", pair(), &kept(2));
    assert_eq!(take_ids(&two), [25, 26, 27, 28, 29]);
    let volatile = nodes[2].subscription("/t", pair(), &deep(100));
    assert_eq!(take_ids(&volatile), []);
    // And from here on what comes.
    publishers[1].publish(&Pair { id: 77, ..Pair::default() });
    for subscription in [&everything, &two, &volatile] {
        assert_eq!(take_ids(subscription), [77]);
    }
}
