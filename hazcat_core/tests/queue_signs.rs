//! Signs of life: what others see of when a publisher published, was alive, and left.

mod support;

use hazcat_core::sys::clock::monotonic_nanos;
use hazcat_core::{Gid, PublisherOptions, Signs, SubscriptionOptions};
use support::*;

#[test]
fn others_see_what_a_publisher_shows_and_not_what_its_successor_does() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let watcher = subscription(&there, "t", SubscriptionOptions::default());
    let topic = watcher.topic();
    let first = publisher(&here, "t", PublisherOptions::default());
    let nobody = Gid::new(here.identity(), u64::MAX);
    let silent = Signs { published: 0, shown: 0, has_left: false };
    assert_eq!(topic.signs_of(first.gid()), Some(silent));
    let now = monotonic_nanos();
    first.note_published(now);
    first.note_alive(now + 1);
    assert_eq!(topic.signs_of(first.gid()), Some(Signs { published: now, shown: now + 1, has_left: false }));
    assert_eq!(first.signs(), topic.signs_of(first.gid()));
    assert_eq!(topic.signs_of(nobody), None);

    first.note_farewell();
    first.shutdown();
    assert_eq!(topic.signs_of(first.gid()), Some(Signs { published: now, shown: 0, has_left: true }));
    assert_eq!(first.signs(), None);

    // The next one gets the record, with nothing of the former in it; and the former does not write there any more.
    let second = publisher(&here, "t", PublisherOptions::default());
    assert_eq!(topic.signs_of(second.gid()), Some(silent));
    assert_eq!(topic.signs_of(first.gid()), None);
    first.note_published(5);
    first.note_alive(6);
    first.note_farewell();
    assert_eq!(second.signs(), Some(silent));
}
