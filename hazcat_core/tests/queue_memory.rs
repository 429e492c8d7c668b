//! What happens when memory runs out: what is dropped, what is kept, what the error says; and that it all comes back.

mod support;

use hazcat_core::{History, LoanError, MessageMeta, Publisher, PublisherOptions, SubscriptionOptions};
use std::path::{Path, PathBuf};
use support::*;

fn keep_last(depth: usize) -> SubscriptionOptions {
    SubscriptionOptions { history: History::KeepLast(depth), ..SubscriptionOptions::default() }
}

fn budget(bytes: usize) -> PublisherOptions {
    PublisherOptions { byte_budget: bytes, ..PublisherOptions::default() }
}

/// Loans until there is no more, and returns the figures of the refusal: used, pinned, limit.
fn refusal(publisher: &Publisher, bytes: usize) -> (usize, usize, usize) {
    let mut loans = Vec::new();
    loop {
        match publisher.loan(bytes) {
            Ok(loan) => loans.push(loan),
            Err(LoanError::Exhausted { needed, usage, .. }) => {
                assert_eq!(needed, bytes);
                return (usage.used, usage.pinned, usage.limit);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_refusal_says_how_much_is_used_pinned_and_allowed() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(4));
    let publisher = publisher(&here, "t", budget(1 << 20));
    // 64 bytes of header and 65,472 of payload: exactly one size class.
    let bytes = 65_472;
    for number in 1..=4 {
        publish(&publisher, 1, number, bytes);
    }
    let held: Vec<_> = (0..3).map(|_| sub.take().expect("take").expect("a message")).collect();
    let (used, pinned, limit) = refusal(&publisher, bytes);
    assert_eq!((pinned, limit), (3 * 65_536, 1 << 20));
    let files: u64 = root.files_in("payload").iter().map(|path| std::fs::metadata(path).expect("file").len()).sum();
    assert_eq!(used as u64, files, "used is what lies in /dev/shm");
    assert!(used <= limit && used > limit - 65_536 - 4096, "{used} of {limit}");
    let text = {
        let _most: Vec<_> = std::iter::from_fn(|| publisher.loan(bytes).ok()).collect();
        publisher.loan(bytes).err().expect("refused").to_string()
    };
    for part in ["topic 't'", "65472", &used.to_string(), &pinned.to_string(), &limit.to_string()] {
        assert!(text.contains(part), "{text:?} lacks {part}");
    }
    assert_eq!(expect_whole(&held[2]), (1, 3));
}

#[test]
fn a_loan_that_can_never_fit_costs_nothing() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", budget(1 << 20));
    for number in 1..=8 {
        publish(&publisher, 1, number, 60_000);
    }
    for bytes in [(1 << 20) - 60, 1 << 20, 1 << 40, usize::MAX] {
        let error = publisher.loan(bytes).err().expect("refused");
        assert!(matches!(error, LoanError::TooLarge { needed, limit: 1_048_576, .. } if needed == bytes), "{error}");
    }
    assert_eq!(take_numbers(&sub), (1..=8).collect::<Vec<_>>());
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn unread_messages_are_not_dropped_for_a_loan_that_cannot_fit_beside_what_is_on_loan() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(10));
    let publisher = publisher(&here, "t", budget(1 << 20));
    let _on_loan = publisher.loan(600_000).expect("loan");
    for number in 1..=4 {
        publish(&publisher, 1, number, 60_000);
    }
    let error = publisher.loan(600_000).err().expect("refused");
    assert!(matches!(error, LoanError::Exhausted { .. }), "{error}");
    assert_eq!(take_numbers(&sub), [1, 2, 3, 4], "dropping them would not have helped");
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn unread_messages_are_not_dropped_for_a_loan_that_cannot_fit_beside_what_is_held() {
    let root = Root::new();
    let here = root.join();
    let (reader, idle) = (subscription(&here, "t", keep_last(10)), subscription(&here, "t", keep_last(10)));
    let publisher = publisher(&here, "t", budget(1 << 20));
    for number in 1..=6 {
        publish(&publisher, 1, number, 120_000);
    }
    let held: Vec<_> = (0..4).map(|_| reader.take().expect("take").expect("a message")).collect();
    let error = publisher.loan(600_000).err().expect("refused");
    let LoanError::Exhausted { usage, .. } = &error else { panic!("{error}") };
    assert!(usage.pinned >= 4 * 120_000, "{error}");
    drop(held);
    assert_eq!(take_numbers(&idle), (1..=6).collect::<Vec<_>>());
    assert_eq!(idle.take_lost().total, 0);
}

#[test]
fn the_oldest_unread_messages_make_room_and_count_as_lost() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(100));
    let publisher = publisher(&here, "t", budget(1 << 20));
    for number in 1..=50 {
        publish(&publisher, 1, number, 60_000);
    }
    let got = take_numbers(&sub);
    let lost = sub.take_lost();
    assert!(got.len() >= 10, "as many as fit: {}", got.len());
    assert_eq!(got, (51 - got.len() as u64..=50).collect::<Vec<_>>(), "the newest, in order");
    assert_eq!(lost.total, 50 - got.len() as u64);
    let dropped = &publisher.topic().layout().publishers()[0].counters[hazcat_core::queue::layout::counter::DROPPED];
    assert_eq!(dropped.load(std::sync::atomic::Ordering::Relaxed), lost.total, "the publisher counts the same");
}

#[test]
fn what_has_been_read_makes_room_before_anything_unread_does() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(100));
    let publisher = publisher(&here, "t", budget(1 << 20));
    let mut published = 0;
    for round in 0..200u64 {
        let burst = 1 + round % 9;
        for _ in 0..burst {
            published += 1;
            publish(&publisher, 1, published, 60_000);
        }
        assert_eq!(take_numbers(&sub), (published - burst + 1..=published).collect::<Vec<_>>());
    }
    assert_eq!(sub.take_lost().total, 0);
}

#[test]
fn all_sizes_in_turn_find_room_in_a_small_budget() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(2));
    let publisher = publisher(&here, "t", budget(4 << 20));
    let mut random = Random::seeded("all_sizes");
    for number in 1..=30_000u64 {
        let magnitude = random.below(15);
        let bytes = 16 + 8 * random.below(1 << magnitude) as usize;
        publish(&publisher, 1, number, bytes);
        if random.below(3) == 0 {
            let last = take_numbers(&sub).last().copied();
            assert_eq!(last, Some(number));
        }
    }
    let files: u64 = root.files_in("payload").iter().map(|path| std::fs::metadata(path).expect("file").len()).sum();
    assert!(files <= 4 << 20);
}

#[test]
fn many_small_messages_stay_within_a_few_segments() {
    let root = Root::new();
    let here = root.join();
    let subs: Vec<_> = (0..8).map(|_| subscription(&here, "t", keep_last(10))).collect();
    let publisher = publisher(&here, "t", PublisherOptions::default());
    for number in 1..=200_000 {
        publish(&publisher, 1, number, 64);
    }
    assert_eq!(take_numbers(&subs[3]), (199_991..=200_000).collect::<Vec<_>>());
    let files: u64 = root.files_in("payload").iter().map(|path| std::fs::metadata(path).expect("file").len()).sum();
    assert!(files <= 256 << 10, "{files} bytes for 10 messages of 64 bytes that are needed");
}

#[test]
fn memory_of_a_departed_publisher_comes_back_while_its_readers_live_on() {
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&there, "t", keep_last(10));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    publish(&publisher, 1, 1, 8 << 20);
    assert_eq!(take_numbers(&sub), [1]);
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let here = root.path().display().to_string();
        maps.lines().filter(|line| line.contains(&here) && line.contains("/payload/")).count()
    };
    assert_eq!(mapped(), 2, "by the publisher and by the reader");
    drop(publisher);
    // The reader does what readers do: it is asked now and then, as by a wait set that the news wake.
    wait_until("the reader has let go of the memory", || !sub.has_data() && mapped() == 0);
    drop(sub);
}

/// A tmpfs of its own, where this process may mount one.
struct SmallTmpfs(PathBuf);

impl SmallTmpfs {
    fn mount(bytes: u64) -> Option<Self> {
        let path = PathBuf::from(format!("/dev/shm/hazcat-test-{}-small-{bytes}", std::process::id()));
        std::fs::create_dir(&path).expect("a new folder");
        let text = |path: &Path| std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no zero byte");
        let options = std::ffi::CString::new(format!("size={bytes},mode=0700")).expect("no zero byte");
        // SAFETY: all pointers are to live strings.
        let result = unsafe {
            libc::mount(c"tmpfs".as_ptr(), text(&path).as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast())
        };
        if result != 0 {
            let error = std::io::Error::last_os_error();
            let _ = std::fs::remove_dir(&path);
            eprintln!("SKIPPED: cannot mount a small tmpfs ({error}); a full /dev/shm is not tested");
            return None;
        }
        Some(Self(path))
    }

    fn config(&self) -> hazcat_core::Config {
        hazcat_core::Config { root: self.0.clone(), ..hazcat_core::Config::default() }
    }
}

impl Drop for SmallTmpfs {
    fn drop(&mut self) {
        let path = std::ffi::CString::new(self.0.as_os_str().as_encoded_bytes()).expect("no zero byte");
        // SAFETY: a live string.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_shared_memory_is_an_error_with_figures_and_kills_nobody() {
    let Some(tmpfs) = SmallTmpfs::mount(4 << 20) else { return };
    let here = hazcat_core::Participant::join(&tmpfs.config()).expect("join");
    let sub = subscription(&here, "t", keep_last(100));
    let publisher = publisher(&here, "t", PublisherOptions::default());
    // More than fits: the oldest are dropped, nothing is a SIGBUS.
    let count = 200;
    for number in 1..=count {
        publish(&publisher, 1, number, 100_000);
    }
    let got = take_numbers(&sub);
    assert!(got.len() >= 8, "{}", got.len());
    assert_eq!(got.last(), Some(&count));
    assert_eq!(got.len() as u64 + sub.take_lost().total, count);
    let error = publisher.loan(8 << 20).err().expect("no room");
    let text = error.to_string();
    assert!(matches!(error, LoanError::System { .. }), "{text}");
    assert!(text.contains("no room for") && text.contains("used"), "{text}");
    // Not even a topic file fits: an error, and afterwards everything works as before.
    let filler = tmpfs.0.join("filler");
    let mut block = 1 << 20;
    let mut written = Vec::new();
    while block > 0 {
        written.resize(written.len() + block, 1u8);
        if std::fs::write(&filler, &written).is_err() {
            written.truncate(written.len() - block);
            block /= 2;
        }
    }
    let _ = std::fs::write(&filler, &written);
    assert!(Publisher::new(&here, &topic("other"), PublisherOptions::default()).is_err());
    assert!(hazcat_core::Subscription::new(&here, &topic("other"), keep_last(1)).is_err());
    let second = support::publisher(&here, "t", PublisherOptions::default());
    assert!(matches!(second.loan(1), Err(LoanError::System { .. })));
    publish(&publisher, 1, count + 1, 100_000);
    assert_eq!(take_numbers(&sub), [count + 1]);
    std::fs::remove_file(&filler).expect("remove");
    drop(second.loan(1).expect("there is room again"));
    drop((sub, publisher, second, here));
    assert_eq!(std::fs::read_dir(&tmpfs.0).expect("root").count(), 0, "nothing remains");
}

#[test]
fn a_transient_local_history_that_does_not_fit_is_an_error() {
    let root = Root::new();
    let here = root.join();
    let options = PublisherOptions {
        transient_local: true,
        history: History::KeepLast(1000),
        byte_budget: 4096,
        ..PublisherOptions::default()
    };
    let error = Publisher::new(&here, &topic("t"), options).err().expect("no room for the history");
    assert!(error.to_string().contains("history"), "{error}");
    drop(here);
    root.assert_empty();
}

#[test]
fn an_empty_message_needs_little_and_a_zero_budget_allows_none() {
    let root = Root::new();
    let here = root.join();
    let sub = subscription(&here, "t", keep_last(1));
    let none = publisher(&here, "t", budget(0));
    assert!(matches!(none.loan(0), Err(LoanError::TooLarge { limit: 0, .. })));
    let little = publisher(&here, "t", budget(4096));
    little.publish(little.loan(0).expect("loan"), &MessageMeta::default()).expect("publish");
    assert!(sub.take().expect("take").is_some_and(|sample| sample.is_empty()));
}
