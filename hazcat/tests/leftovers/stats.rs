//! `hazcat stats`.

use crate::support::*;
use hazcat_core::domain::DomainId;
use hazcat_core::{
    History, MessageMeta, Participant, Passage, Publisher, PublisherOptions, Subscription, SubscriptionOptions,
};
use serde_json::{json, Value};

#[test]
fn it_shows_what_was_counted_and_in_which_memory_each_endpoint_is() {
    let root = Root::new();
    assert!(root.says(&["stats"]).contains("no topics"));
    let sim = DomainId::new("sim", 7).expect("in range");
    // Looked at from another process, while these are at work.
    let (here, there) = (root.config(), root.config());
    let here = Participant::join(&here).expect("join");
    let there = Participant::join(&there).expect("join");
    let publisher = Publisher::new(&here, &topic(), PublisherOptions { domain: sim, ..Default::default() });
    let publisher = publisher.expect("publisher");
    let deep = |domain| SubscriptionOptions { domain, history: History::KeepLast(3), ..Default::default() };
    let [host, other, device] = [DomainId::HOST, DomainId::HOST, sim]
        .map(|domain| Subscription::new(&there, &topic(), deep(domain)).expect("subscription"));
    for number in 0..8_u8 {
        let mut loan = publisher.loan_on_device(1000).expect("loan");
        if number < 6 {
            loan.copy_from(&[number; 600]).expect("fits");
        }
        loan.publish(&MessageMeta::default()).expect("publish");
        // The slow one loses five.
        for subscription in [&host, &other] {
            assert!(subscription.take().expect("take").is_some());
        }
    }
    while device.take().expect("take").is_some() {}
    host.count_copied_out(Passage::Copied, 1000);
    host.count_copied_out(Passage::Serialized, 500);

    let stats: Value = serde_json::from_str(&root.says(&["stats", "--json"])).expect("JSON");
    let topic = &only(&stats, "topics")[0];
    assert_eq!(topic["published"], 8);
    let memory = json!([
        { "memory": "host", "copies": 8, "bytes": 8000 },
        { "memory": "sim:7", "copies": 0, "bytes": 0 },
    ]);
    assert_eq!(topic["memory"], memory, "{topic:#}");
    let publishers = topic["publishers"].as_array().expect("a list");
    assert_eq!((publishers.len(), &publishers[0]["memory"]), (1, &json!("sim:7")), "{topic:#}");
    let counters = json!({
        "messages": 8, "bytes": 8000, "dropped": 0, "on_device": 8, "in_place": 2, "copied_in": 0, "serialized": 0,
        "copied_to_device": 6, "bytes_copied": 3600,
    });
    assert_eq!(publishers[0]["counters"], counters);
    let subscription = |at: usize| &topic["subscriptions"][at];
    let expected = |lost: u64, taken: u64, copies: u64, shared: u64, out: u64| {
        json!({
            "messages": taken, "lost": lost, "without_copy": taken - copies - shared, "as_they_lay": 0,
            "shared_copies": shared, "copies_to_host": copies, "copies_to_device": 0, "copies_between_devices": 0,
            "private_copies": 0, "bytes_copied": copies * 1000, "in_place": taken - 2 * out, "copied_out": out,
            "deserialized": out, "bytes_out": out * 1500,
        })
    };
    assert_eq!(subscription(0)["counters"], expected(0, 8, 8, 0, 1));
    assert_eq!(subscription(1)["counters"], expected(0, 8, 0, 8, 0));
    assert_eq!(subscription(2)["counters"], expected(5, 3, 0, 0, 0));
    let memories: Vec<&Value> = (0..3).map(|at| &subscription(at)["memory"]).collect();
    assert_eq!(memories, ["host", "host", "sim:7"]);
    // The same in Rust, by the endpoints themselves.
    assert_eq!((host.counters().copies(), other.counters().shared_copies, device.counters().lost), (8, 8, 5));
    assert_eq!((publisher.counters().in_place(), publisher.domain(), device.domain()), (2, sim, sim));

    let text = root.says(&["stats"]);
    for wanted in [
        "8 copies into host, 7.8 KiB",
        "publisher in sim:7",
        "8 messages, 7.8 KiB, 2 made in place, 6 copied to the device; 3.5 KiB copied",
        "8 messages, 8 copied to the host, 1 copied out, 1 deserialized; 7.8 KiB copied across; 1.5 KiB copied out",
        "8 messages, 8 from others' copies",
        "subscription in sim:7",
        "3 messages, 3 as published, 5 lost",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let text = root.says(&["list"]);
    for wanted in ["8 published, in sim:7", "0 unread, 0 held, in host", "1 publisher, 3 subscriptions", "copies of"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let list = root.list();
    assert_eq!(only(&list, "topics")[0]["copiers"].as_array().map(Vec::len), Some(1), "one of them made the copies");
    drop((publisher, host, other, device));
    here.leave();
    there.leave();
}
