//! Who copies, how often, and when the copies are free again: in one process.

use crate::support::*;
use crate::talking::*;
use hazcat_core::domain::simulated::SimulatedDevice;
use hazcat_core::domain::DomainId;
use hazcat_core::queue::layout::taken;
use hazcat_core::{History, LoanError, PublisherOptions, SubscriptionOptions};

const HOST: DomainId = DomainId::HOST;

#[test]
fn within_a_domain_nothing_is_copied() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for domain in [HOST, sim(100)] {
        let name = domain.to_string();
        let publisher = publisher_in(&here, &name, domain);
        let subscription = subscription_in(&there, &name, domain);
        (1..=50).for_each(|number| send(&publisher, number, 4096));
        assert_eq!(receive_all(&subscription, domain), (1..=50).collect::<Vec<_>>());
        assert_eq!((copies_by(&subscription), counted(&subscription, taken::MESSAGES)), (0, 50));
        assert_eq!(copiers(&subscription).len(), 0, "nothing was to be copied");
    }
    let device = SimulatedDevice::get(100).expect("in range").counters();
    assert_eq!((device.from_host.operations, device.to_host.operations), (50, 0), "publishing only");
}

#[test]
fn one_copy_serves_all_of_a_domain() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let ways = [(sim(101), HOST, taken::TO_HOST), (HOST, sim(102), taken::TO_DEVICE)];
    for (from, to, kind) in ways.into_iter().chain([(sim(103), sim(104), taken::BETWEEN_DEVICES)]) {
        let name = format!("{from}-{to}");
        let publisher = publisher_in(&here, &name, from);
        let same = subscription_in(&there, &name, from);
        let others: Vec<_> = (0..3).map(|_| subscription_in(&there, &name, to)).collect();
        for number in 1..=60 {
            send(&publisher, number, 3000);
            // Each is the first in turn.
            for turn in 0..3 {
                let subscription = &others[(turn + number as usize) % 3];
                assert_eq!(receive_in(subscription, to).expect("take"), Some(number));
            }
            assert_eq!(receive_in(&same, from).expect("take"), Some(number));
        }
        assert_eq!(copies_into(&same, to), 60, "{name}");
        for subscription in &others {
            assert_eq!(counted(subscription, kind), 20, "{name}");
            assert_eq!(copies_by(subscription), 20, "of that kind only");
            assert_eq!(counted(subscription, taken::SHARED_COPIES), 40);
            assert_eq!(counted(subscription, taken::PRIVATE_COPIES), 0);
            assert_eq!(counted(subscription, taken::BYTES_COPIED), 20 * 3000);
        }
        assert_eq!(copies_by(&same), 0);
    }
}

#[test]
fn copies_are_free_again_when_everybody_has_returned_them() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let domain = sim(105);
    let device = SimulatedDevice::get(105).expect("in range");
    let publisher = publisher_in(&here, "free", HOST);
    let (first, last) = (subscription_in(&there, "free", domain), subscription_in(&there, "free", domain));
    send(&publisher, 1, 64 << 10);
    assert_eq!(receive_in(&first, domain).expect("take"), Some(1));
    let held = last.take().expect("take").expect("the copy");
    assert_eq!(counted(&last, taken::SHARED_COPIES), 1);
    // While it is held its bytes stay, however many come after it.
    for number in 2..=50 {
        send(&publisher, number, 64 << 10);
        assert_eq!(receive_in(&first, domain).expect("take"), Some(number));
    }
    let mut bytes = vec![0; 64 << 10];
    held.device().expect("on the device").copy_to_host(&mut bytes).expect("there");
    assert_eq!(whole(&bytes), Some((0, 1)));
    drop(held);
    receive_all(&last, domain);
    // The last ones go without another message.
    wait_until("all copies are free", || {
        receive_all(&first, domain);
        receive_all(&last, domain);
        device.counters().in_use() == 0
    });
}

#[test]
fn memory_for_copies_stays_bounded() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participant = root.join();
    let publisher = publisher_in(&participant, "bounded", sim(106));
    let options = SubscriptionOptions { copy_budget: 2 << 20, ..deep(HOST, 4) };
    let (subscription, slow) =
        (subscription(&participant, "bounded", options), subscription_in(&participant, "bounded", HOST));
    let payload = |root: &Root| -> u64 {
        let files = root.files_in("payload");
        files.iter().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
    };
    for number in 1..=2000 {
        send(&publisher, number, 20 << 10);
        assert_eq!(receive_in(&subscription, HOST).expect("take"), Some(number));
    }
    // `slow` keeps a hundred messages of 20 kB each: in the publisher's memory, and as copies as far as they fit.
    let used = payload(&root);
    assert!(used < 16 << 20, "{used} bytes");
    let rest = receive_all(&slow, HOST);
    assert_eq!((rest.len(), rest.last()), (100, Some(&2000)));
    assert_eq!(slow.lost().total, 1900);
}

#[test]
fn many_publishers_and_domains_share_a_topic() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let domains = [HOST, sim(110), sim(111), sim(112)];
    let publishers: Vec<_> = domains.iter().map(|domain| publisher_in(&here, "many", *domain)).collect();
    let subscriptions: Vec<_> = domains.iter().map(|domain| subscription_in(&there, "many", *domain)).collect();
    let mut random = Random::seeded("many publishers and domains");
    for number in 1..=200 {
        send(&publishers[random.below(4) as usize], number, 16 + 8 * random.below(2000) as usize);
        for _ in 0..random.below(4) {
            let which = random.below(4) as usize;
            let _ = receive_in(&subscriptions[which], domains[which]).expect("take");
        }
        for (subscription, domain) in subscriptions.iter().zip(domains) {
            if number % 40 == 0 {
                receive_all(subscription, domain);
            }
        }
    }
    for (subscription, domain) in subscriptions.iter().zip(domains) {
        assert_eq!(counted(subscription, taken::MESSAGES), 200, "{domain}");
        assert_eq!(subscription.lost().total, 0);
        assert_eq!(copies_into(subscription, domain), copies_by(subscription), "one subscription per domain");
    }
    let ninth: Vec<_> =
        (0..5).map(|number| SubscriptionOptions { domain: sim(120 + number), ..deep(HOST, 1) }).collect();
    let key = topic("many");
    let results: Vec<_> =
        ninth.into_iter().map(|options| hazcat_core::Subscription::new(&here, &key, options)).collect();
    assert!(results[..4].iter().all(Result::is_ok), "eight domains are possible");
    let error = results[4].as_ref().err().expect("nine are not").to_string();
    assert!(error.contains("sim:124") && error.contains("many") && error.contains('8'), "{error}");
}

#[test]
fn the_past_is_had_in_ones_own_domain() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for (from, to) in [(sim(113), HOST), (HOST, sim(114)), (sim(113), sim(113)), (sim(113), sim(114))] {
        let name = format!("past-{from}-{to}");
        let history = History::KeepLast(10);
        let options = PublisherOptions { domain: from, history, transient_local: true, ..PublisherOptions::default() };
        let publisher = publisher(&here, &name, options);
        (1..=25).for_each(|number| send(&publisher, number, 5000));
        let options = SubscriptionOptions { transient_local: true, ..deep(to, 10) };
        let late = subscription(&there, &name, options);
        assert!(late.has_data());
        assert_eq!(copies_by(&late), 0, "a look is not a take");
        (26..=30).for_each(|number| send(&publisher, number, 5000));
        let got = receive_all(&late, to);
        // What fell out of the history meanwhile is lost, what came since is had from the ring.
        assert_eq!(got, (21..=30).collect::<Vec<_>>(), "{name}");
        assert_eq!(copies_by(&late), if from == to { 0 } else { 10 }, "{name}");
    }
}

#[test]
fn keep_all_subscriptions_miss_nothing_in_any_domain() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let domain = sim(115);
    let options = PublisherOptions { domain, history: History::KeepAll, ..PublisherOptions::default() };
    let publisher = publisher(&here, "all", options);
    let options = |domain| SubscriptionOptions { domain, history: History::KeepAll, ..SubscriptionOptions::default() };
    let (same, other) = (subscription(&there, "all", options(domain)), subscription(&there, "all", options(HOST)));
    let mut expected = 1;
    for number in 1..=3000 {
        send(&publisher, number, 256);
        if number % 500 == 0 {
            let numbers: Vec<u64> = (expected..=number).collect();
            assert_eq!(receive_all(&other, HOST), numbers);
            assert_eq!(receive_all(&same, domain), numbers);
            expected = number + 1;
        }
    }
    assert_eq!((copies_by(&other), counted(&other, taken::PRIVATE_COPIES)), (3000, 0));
}

#[test]
fn messages_are_taken_as_they_lie_where_that_is_asked_for() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for (from, to) in [(HOST, sim(116)), (sim(116), HOST), (sim(116), sim(117))] {
        let name = format!("as-{from}-{to}");
        let (publisher, subscription) = (publisher_in(&here, &name, from), subscription_in(&there, &name, to));
        send(&publisher, 1, 640);
        let raw = subscription.take_raw_as_it_lies().expect("take").expect("there");
        assert_eq!((raw.domain, raw.len), (from, 640));
        match subscription.device(&raw) {
            Some(device) => {
                let mut bytes = [0; 640];
                device.copy_to_host(&mut bytes).expect("there");
                assert_eq!(whole(&bytes), Some((0, 1)));
                assert_eq!(device.address(), raw.ptr);
            }
            None => assert!(from.is_host()),
        }
        subscription.return_raw(raw.index).expect("held");
        assert_eq!(copies_by(&subscription), 0);
    }
}

#[test]
fn host_messages_of_a_device_publisher_are_messages_too() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let domain = sim(118);
    let publisher = publisher_in(&here, "mixed", domain);
    let (host, device) = (subscription_in(&there, "mixed", HOST), subscription_in(&there, "mixed", domain));
    for number in 1..=40 {
        if number % 2 == 0 {
            send(&publisher, number, 800);
        } else {
            publish(&publisher, 0, number, 800);
        }
    }
    let numbers: Vec<u64> = (1..=40).collect();
    assert_eq!(receive_all(&host, HOST), numbers);
    assert_eq!(receive_all(&device, domain), numbers);
    assert_eq!((copies_by(&host), copies_by(&device)), (20, 20));
}

#[test]
fn a_device_loan_is_refused_where_there_is_no_device() {
    let root = Root::new();
    let participant = root.join();
    let publisher = publisher_in(&participant, "none", HOST);
    let error = publisher.loan_on_device(8).err().expect("no device");
    assert!(matches!(error, LoanError::NotOnDevice { .. }) && error.to_string().contains("none"), "{error}");
    let options = SubscriptionOptions { domain: DomainId::new("tape", 0).expect("valid"), ..deep(HOST, 1) };
    let error = hazcat_core::Subscription::new(&participant, &topic("none"), options).err().expect("no such kind");
    assert!(error.to_string().contains("tape:0") && error.to_string().contains("unknown kind"), "{error}");
}

#[test]
fn what_a_device_publisher_has_too_much_of_is_refused_or_dropped() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let participant = root.join();
    let options = PublisherOptions { domain: sim(119), byte_budget: 1 << 20, ..PublisherOptions::default() };
    let publisher = publisher(&participant, "budget", options);
    let subscription = subscription_in(&participant, "budget", sim(119));
    let never = publisher.loan_on_device(2 << 20).err().expect("larger than the budget");
    assert!(matches!(never, LoanError::TooLarge { limit: 1_048_576, .. }), "{never}");
    (1..=100).for_each(|number| send(&publisher, number, 100 << 10));
    let got = receive_all(&subscription, sim(119));
    assert!(got.len() < 10 && got.last() == Some(&100), "{got:?}");
    assert_eq!(subscription.lost().total, 100 - got.len() as u64);
    let loans: Vec<_> = std::iter::from_fn(|| publisher.loan_on_device(100 << 10).ok()).collect();
    let error = publisher.loan_on_device(100 << 10).err().expect("all of it is on loan");
    assert!(matches!(error, LoanError::Exhausted { .. }), "{error}");
    let count = loans.len();
    drop(loans);
    assert!(count >= 5);
    publisher.loan_on_device(100 << 10).expect("returned");
}

#[test]
fn nothing_remains_when_all_have_left() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let publisher = publisher_in(&here, "leaving", sim(121));
    let (one, other) = (subscription_in(&there, "leaving", HOST), subscription_in(&there, "leaving", sim(122)));
    (1..=20).for_each(|number| send(&publisher, number, 10_000));
    // Half of it copied, half of it read, and then the copiers go one after the other.
    for _ in 0..10 {
        receive_in(&one, HOST).expect("take").expect("there");
        receive_in(&other, sim(122)).expect("take").expect("there");
    }
    assert_eq!(copiers(&one).len(), 2);
    drop(publisher);
    assert_eq!(receive_all(&one, HOST).len(), 10, "the departed publisher's messages are still there");
    drop(one);
    assert_eq!(receive_all(&other, sim(122)).len(), 10);
    drop(other);
    here.leave();
    there.leave();
    root.assert_empty();
}

#[test]
fn a_filter_judges_messages_of_any_domain() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for (from, to) in [(sim(123), HOST), (HOST, sim(123)), (sim(123), sim(123)), (sim(123), sim(124))] {
        for history in [History::KeepLast(100), History::KeepAll] {
            let name = format!("filter-{from}-{to}-{history:?}");
            let options = PublisherOptions { domain: from, history, transient_local: true, ..Default::default() };
            let publisher = publisher(&here, &name, options);
            (1..=9).for_each(|number| send(&publisher, number, 800));
            let even: hazcat_core::FilterFn = Box::new(|_, bytes| whole(bytes).expect("a damaged message").1 % 2 == 0);
            let options = SubscriptionOptions {
                domain: to,
                history,
                transient_local: true,
                filter: Some(even),
                ..Default::default()
            };
            let late = subscription(&there, &name, options);
            (10..=20).for_each(|number| send(&publisher, number, 800));
            assert!(late.has_data());
            assert_eq!(receive_all(&late, to), (1..=10).map(|half| 2 * half).collect::<Vec<_>>(), "{name}");
        }
    }
}
