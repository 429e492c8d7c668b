//! Files that are cut short while others have them mapped: messages are lost, endpoints fail, nobody dies of SIGBUS. Other
//! SIGBUS go where they went before.

use crate::support::*;
use hazcat_core::sys::mapping::{Access, Mapping};
use hazcat_core::{
    Config, History, MessageMeta, Participant, Publisher, PublisherOptions, SubscriptionOptions, WaitSet, Waitable,
};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

fn cut(root: &Root, folder: &str, length: u64) {
    let files = root.files_in(folder);
    assert!(!files.is_empty(), "no {folder}");
    for path in files {
        File::options().write(true).open(&path).and_then(|file| file.set_len(length)).expect("cut");
    }
}

/// Publishes, or says why not.
fn try_publish(publisher: &Publisher, number: u64) -> Result<(), String> {
    let mut loan = publisher.loan(4096).map_err(|error| error.to_string())?;
    fill(&mut loan, 1, number);
    publisher.publish(loan, &MessageMeta::default()).map(drop).map_err(|error| error.to_string())
}

#[test]
fn messages_that_are_cut_off_are_lost_and_counted_and_later_ones_arrive() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for (round, keep_all) in [false, true].into_iter().enumerate() {
        let name = format!("t{round}");
        let history = if keep_all { History::KeepAll } else { History::KeepLast(4) };
        let options = SubscriptionOptions { history, ..SubscriptionOptions::default() };
        let sub = subscription(&there, &name, options);
        let options = PublisherOptions {
            history,
            transient_local: !keep_all,
            byte_budget: 1 << 20,
            ..PublisherOptions::default()
        };
        let publisher = publisher(&here, &name, options);
        (1..=2).for_each(|number| try_publish(&publisher, number).expect("published"));
        assert_eq!(expect_whole(&sub.take().expect("take").expect("a message")).1, 1);
        for (turn, length) in [0, 4096, 100].into_iter().enumerate() {
            cut(&root, "payload", length);
            let deadline = Instant::now() + PATIENCE / 2;
            let first = 100 * (turn as u64 + 1);
            let mut number = first;
            // What was written into the lost memory is lost; what is written later arrives.
            let arrived = loop {
                assert!(Instant::now() < deadline, "nothing arrives any more");
                let said = try_publish(&publisher, number);
                assert!(said.as_ref().err().is_none_or(|why| why.contains("cut short")), "{said:?}");
                number += 1;
                let taken = sub.take().expect("take");
                if let Some((_, number)) = taken.and_then(|sample| whole(&sample)).filter(|(_, number)| *number > first)
                {
                    break number;
                }
            };
            (0..4).for_each(|_| drop(sub.take()));
            println!("keep-all {keep_all}, cut to {length}: the first to arrive is the {}th", arrived - first + 1);
            (1..=3).for_each(|next| try_publish(&publisher, number + next).expect("published"));
            for next in 1..=3 {
                assert_eq!(expect_whole(&sub.take().expect("take").expect("a message")).1, number + next);
            }
        }
        assert!(sub.take_lost().total > 0);
        if !keep_all {
            let options = SubscriptionOptions { history, transient_local: true, ..SubscriptionOptions::default() };
            let late = subscription(&there, &name, options);
            assert!(take_numbers(&late).len() >= 3, "the past that was published since is there");
        }
    }
    assert_eq!((here.is_alive(there.identity()), there.is_alive(here.identity())), (true, true));
}

#[test]
fn endpoints_of_a_topic_that_is_cut_fail_and_new_ones_work() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    for length in [0, 4096, 70_000] {
        let sub = subscription(&there, "t", SubscriptionOptions::default());
        let publisher = publisher(&here, "t", PublisherOptions::default());
        publish(&publisher, 1, 1, 64);
        cut(&root, "topics", length);
        // Whatever is touched first: nothing else than an error, and an error in the end.
        let deadline = Instant::now() + PATIENCE / 2;
        let (mut publishing, mut taking) = (false, false);
        while !publishing || !taking || !root.files_in("topics").is_empty() {
            assert!(Instant::now() < deadline, "cut to {length}: {publishing} {taking} {:?}", root.files());
            publishing = try_publish(&publisher, 2).is_err_and(|why| why.contains("cut short"));
            taking = sub.take().is_err();
            let _ = (sub.has_data(), sub.unread_estimate(), sub.take_lost(), publisher.is_acknowledged());
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(sub);
        let sub = subscription(&there, "t", SubscriptionOptions::default());
        drop(publisher);
        let publisher = crate::support::publisher(&here, "t", PublisherOptions::default());
        publish(&publisher, 1, 3, 64);
        assert_eq!(take_numbers(&sub), [3]);
    }
    drop((here, there));
    root.assert_empty();
}

#[test]
fn sleepers_whose_bells_are_cut_are_woken() {
    let _watchdog = Watchdog::new();
    let root = Root::new();
    let (here, there) = (root.join(), root.join());
    let sub = subscription(&there, "t", SubscriptionOptions::default());
    let publisher = publisher(&here, "t", PublisherOptions::default());
    let set = WaitSet::new(&there).expect("wait set");
    for (round, length) in [0, 4096, 4200].into_iter().enumerate() {
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| loop {
                // Without a limit: only a ring ends it.
                let items: [&dyn Waitable; 1] = [&sub];
                set.wait(&items, None).expect("wait");
                if let Some(sample) = sub.take().expect("take") {
                    break expect_whole(&sample).1;
                }
            });
            std::thread::sleep(Duration::from_millis(50));
            cut(&root, "bells", length);
            publish(&publisher, 1, round as u64, 64);
            assert_eq!(sleeper.join().expect("no panic"), round as u64);
        });
    }
}

/// A mapped file of one page that is not hazcat's, cut to nothing; its address.
fn foreign(at: *mut libc::c_void) -> *const u8 {
    let path = format!("/dev/shm/hazcat-test-{}-foreign", std::process::id());
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("create");
    std::fs::remove_file(&path).expect("remove");
    file.set_len(4096).expect("grow");
    let fixed = if at.is_null() { 0 } else { libc::MAP_FIXED_NOREPLACE };
    // SAFETY: a new mapping; with an address, only where there is none.
    let mapped = unsafe { libc::mmap(at, 4096, libc::PROT_READ, libc::MAP_SHARED | fixed, file.as_raw_fd(), 0) };
    assert_ne!(mapped, libc::MAP_FAILED);
    file.set_len(0).expect("cut");
    mapped.cast()
}

fn touch(at: *const u8) -> u8 {
    // SAFETY: a mapped address; the fault is what is wanted.
    unsafe { at.read_volatile() }
}

fn set_handler(handler: usize, flags: i32) {
    // SAFETY: zeros are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: a handler that only ends the process.
    assert_eq!(unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) }, 0);
}

extern "C" fn plain_handler(signal: i32) {
    // SAFETY: ends the process.
    unsafe { libc::_exit(30 + signal) };
}

extern "C" fn full_handler(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel's, passed on.
    let code = unsafe { (*info).si_code };
    // SAFETY: ends the process.
    unsafe { libc::_exit(40 + code) };
}

/// A child: does something that ends it, or not.
pub fn meet_a_bus_error(config: &Config, how: &str) {
    match how {
        "default" | "sent" | "off" | "forked" => set_handler(libc::SIG_DFL, 0),
        "ignored" | "sent-ignored" => set_handler(libc::SIG_IGN, 0),
        "plain" => set_handler(plain_handler as *const () as usize, 0),
        "full" => set_handler(full_handler as *const () as usize, libc::SA_SIGINFO),
        _ => {}
    }
    let _participant = Participant::join(&Config { handle_sigbus: how != "off", ..config.clone() }).expect("join");
    if how == "later" {
        set_handler(plain_handler as *const () as usize, 0);
    }
    let path = config.root.join("own");
    let file = File::options().read(true).write(true).create_new(true).open(&path).expect("create");
    file.set_len(8192).expect("grow");
    let own = Mapping::new(&file, 0, 8192, Access::ReadWrite, false).expect("map");
    let at = own.range(0, 8192).expect("there");
    match how {
        "sent" | "sent-ignored" => {
            // SAFETY: a signal to oneself.
            unsafe { libc::raise(libc::SIGBUS) };
        }
        "own" => {
            file.set_len(5000).expect("cut");
            assert!(!own.is_cut());
            file.set_len(0).expect("cut");
            assert_eq!((touch(at.wrapping_add(4096)), own.is_cut()), (0, true));
            // SAFETY: writable memory of this process, now its own.
            unsafe { at.cast_mut().write_volatile(7) };
            assert_eq!((touch(at), touch(at.wrapping_add(4096))), (7, 0));
            file.set_len(8192).expect("grow");
            own.replace(&file, 0).expect("mapped anew");
            assert_eq!((touch(at), own.is_cut()), (0, false));
        }
        "off" => {
            file.set_len(0).expect("cut");
            touch(at);
        }
        "forked" => {
            // SAFETY: the child only touches memory and exits.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                // Where the parent's mapping was, there is nothing in the child, and then somebody else's.
                touch(foreign(at.cast_mut().cast()));
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            let mut status = 0;
            // SAFETY: waits for the child just made.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGBUS, "{status:#x}");
        }
        _ => {
            touch(foreign(std::ptr::null_mut()));
        }
    }
    std::fs::remove_file(&path).expect("remove");
}

#[test]
fn bus_errors_of_others_go_where_they_went_before() {
    let _watchdog = Watchdog::new();
    let dies = (None, Some(libc::SIGBUS));
    let exits = |code| (Some(code), None);
    // Of Rust's own handler, or of AddressSanitizer's, which reports and exits.
    let as_found = if std::env::var_os("ASAN_OPTIONS").is_some() { exits(1) } else { dies };
    for (how, expected) in [
        ("rust", as_found),
        ("default", dies),
        ("ignored", dies),
        ("sent", dies),
        ("off", dies),
        ("plain", exits(30 + libc::SIGBUS)),
        ("full", exits(40 + libc::BUS_ADRERR)),
        ("later", exits(30 + libc::SIGBUS)),
        ("sent-ignored", exits(0)),
        ("own", exits(0)),
        ("forked", exits(0)),
    ] {
        let root = Root::new();
        let status = Peer::start(&root, &format!("meet-a-bus-error {how}")).finish();
        assert_eq!((status.code(), status.signal()), expected, "{how}");
    }
}
