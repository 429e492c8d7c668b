//! Topic files are removed and replaced while they are in use: they get their names back, nobody loses a message, and who comes
//! later meets who was there.

use crate::support::*;
use hazcat_core::{Participant, Publisher, PublisherOptions, Subscription, SubscriptionOptions};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn lasting() -> PublisherOptions {
    PublisherOptions { transient_local: true, ..PublisherOptions::default() }
}

fn late() -> SubscriptionOptions {
    SubscriptionOptions { transient_local: true, ..SubscriptionOptions::default() }
}

/// A topic in use: by a publisher of one participant and a subscription of another.
struct Talk {
    root: Root,
    one: Arc<Participant>,
    other: Arc<Participant>,
    publisher: Publisher,
    sub: Subscription,
    next: u64,
    /// The last message of the lasting publisher.
    last: u64,
}

impl Talk {
    fn new() -> Self {
        let root = Root::new();
        let (one, other) = (root.join(), root.join());
        let publisher = publisher(&one, "talk", lasting());
        let sub = subscription(&other, "talk", SubscriptionOptions::default());
        Self { root, one, other, publisher, sub, next: 1, last: 0 }
    }

    fn path(&self) -> PathBuf {
        let topics = self.one.directory().topics().expect("list");
        self.one.directory().topic_path(topics.first().expect("a topic"))
    }

    /// Some messages arrive, all of them.
    fn goes_on(&mut self) {
        for number in self.next..self.next + 5 {
            publish(&self.publisher, 1, number, 64);
        }
        assert_eq!(take_numbers(&self.sub), (self.next..self.next + 5).collect::<Vec<_>>());
        assert_eq!(self.sub.lost().total, 0);
        self.next += 5;
        self.last = self.next - 1;
    }

    /// A newcomer gets what was published last, and what is published now.
    fn meets_a_newcomer(&mut self) {
        let newcomer = self.root.join();
        let sub = subscription(&newcomer, "talk", late());
        let to_all = publisher(&newcomer, "talk", PublisherOptions::default());
        let past = take_numbers(&sub);
        assert_eq!(past.last(), Some(&self.last), "the past");
        publish(&self.publisher, 1, self.next, 64);
        publish(&to_all, 1, self.next + 1, 64);
        for each in [&sub, &self.sub] {
            assert_eq!(take_numbers(each), [self.next, self.next + 1]);
        }
        self.last = self.next;
        self.next += 2;
        drop((sub, to_all));
        newcomer.leave();
    }

    fn ends(self) {
        let Self { root, one, other, publisher, sub, .. } = self;
        drop((publisher, sub));
        one.leave();
        other.leave();
        root.assert_empty();
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}

#[test]
fn a_removed_topic_file_gets_its_name_back() {
    let mut talk = Talk::new();
    talk.goes_on();
    let (path, before) = (talk.path(), inode(&talk.path()));
    fs::remove_file(&path).expect("remove");
    talk.goes_on();
    wait_until("it has its name again", || inode(&path) == before);
    talk.meets_a_newcomer();
    talk.goes_on();
    // At once: a newcomer gives it its name, should it be the first.
    for _ in 0..20 {
        fs::remove_file(&path).expect("remove");
        talk.meets_a_newcomer();
        assert_eq!(inode(&path), before);
    }
    talk.ends();
}

#[test]
fn what_is_put_in_the_place_of_a_topic_file_is_removed() {
    let mut talk = Talk::new();
    talk.goes_on();
    let (path, before) = (talk.path(), inode(&talk.path()));
    let copy = fs::read(&path).expect("read");
    let aside = path.with_file_name("aside");
    let replacements: [&dyn Fn(); 6] = [
        &|| fs::write(&aside, b"no topic").and_then(|()| fs::rename(&aside, &path)).expect("replace"),
        &|| fs::write(&aside, &copy).and_then(|()| fs::rename(&aside, &path)).expect("replace"),
        &|| fs::write(&aside, &copy[..5000]).and_then(|()| fs::rename(&aside, &path)).expect("replace"),
        &|| fs::remove_file(&path).and_then(|()| fs::create_dir(&path)).expect("a folder"),
        &|| fs::remove_file(&path).and_then(|()| std::os::unix::fs::symlink("/etc/hostname", &path)).expect("a link"),
        &|| fs::remove_dir_all(path.parent().expect("a folder")).expect("all topics"),
    ];
    for replace in replacements {
        replace();
        talk.goes_on();
        talk.meets_a_newcomer();
        assert_eq!(inode(&path), before);
        replace();
        wait_until("it has its name again", || inode(&path) == before);
        talk.goes_on();
        talk.meets_a_newcomer();
    }
    talk.ends();
}

#[test]
fn a_removed_directory_comes_back_with_its_topics() {
    let mut talk = Talk::new();
    talk.goes_on();
    let (path, before) = (talk.path(), inode(&talk.path()));
    for _ in 0..3 {
        let aside = talk.root.path().join("aside");
        fs::rename(talk.one.directory().path(), &aside).expect("rename");
        fs::remove_dir_all(aside).expect("remove");
        talk.goes_on();
        let present = |who: &Participant| who.directory().participant_path(who.identity()).exists();
        wait_until("all is back", || inode(&path) == before && present(&talk.one) && present(&talk.other));
        talk.goes_on();
        talk.meets_a_newcomer();
        talk.goes_on();
    }
    talk.ends();
}

#[test]
fn a_topic_that_has_lost_both_names_goes_on_among_those_who_have_it() {
    let mut talk = Talk::new();
    talk.goes_on();
    let path = talk.path();
    let hidden = |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    let kept = fs::read_dir(talk.root.path()).expect("list").flatten().find(hidden);
    let kept = kept.expect("a folder of second names").path();
    fs::remove_dir_all(&kept).expect("remove");
    fs::remove_file(&path).expect("remove");
    talk.goes_on();
    // Others talk on a topic of their own.
    let (one, other) = (talk.root.join(), talk.root.join());
    let (to, from) = (publisher(&one, "talk", lasting()), subscription(&other, "talk", late()));
    publish(&to, 1, 1, 64);
    assert_eq!(take_numbers(&from), [1]);
    talk.goes_on();
    drop((to, from));
    one.leave();
    other.leave();
    talk.ends();
}

#[test]
fn what_is_said_on_a_topic_that_has_lost_both_names_is_not_swept_away() {
    let mut talk = Talk::new();
    talk.goes_on();
    fs::remove_file(second_name(&talk.path())).expect("remove");
    fs::remove_file(talk.path()).expect("remove");
    // In a segment that the subscription has not opened yet.
    publish(&talk.publisher, 1, talk.next, 4 << 20);
    // Another topic, so that somebody sweeps; all is done when what the dead one had is gone.
    let mut peer = Peer::started(&talk.root, "use-topic another");
    peer.kill();
    let mine = subscription(&talk.other, "mine", SubscriptionOptions::default());
    let litter = || talk.root.files().iter().filter(|path| path.to_string_lossy().contains("another")).count();
    wait_until("somebody has swept", || litter() == 0);
    assert_eq!(take_numbers(&talk.sub), [talk.next]);
    drop(mine);
    talk.next += 1;
    talk.goes_on();
    talk.ends();
}

#[test]
fn what_is_put_in_the_place_of_a_second_name_is_replaced() {
    let mut talk = Talk::new();
    talk.goes_on();
    let (path, before) = (talk.path(), inode(&talk.path()));
    let kept = second_name(&path);
    fs::remove_file(&kept).and_then(|()| fs::write(&kept, b"no topic")).expect("replace");
    wait_until("it has its second name again", || inode(&kept) == before);
    fs::remove_file(&path).expect("remove");
    talk.meets_a_newcomer();
    assert_eq!(inode(&path), before);
    talk.ends();
}

/// A child: uses a topic until it is killed.
pub fn use_topic(config: &hazcat_core::Config, name: &str) {
    let participant = Participant::join(config).expect("join");
    let to = publisher(&participant, name, lasting());
    publish(&to, 1, 1, 64);
    answer("ready");
    while next_line().is_some() {}
}

#[test]
fn who_is_killed_with_a_lost_topic_leaves_nothing_that_lasts() {
    let root = Root::new();
    let mut peer = Peer::started(&root, "use-topic talk");
    let stays = root.join();
    fs::remove_dir_all(stays.directory().path().join("topics")).expect("remove");
    peer.kill();
    // Another topic, so that somebody sweeps.
    let mine = subscription(&stays, "mine", SubscriptionOptions::default());
    let kept = || root.files().iter().filter(|path| path.to_string_lossy().contains("talk")).count();
    wait_until("both names and the segments are gone", || kept() == 0);
    drop(mine);
    stays.leave();
    root.assert_empty();
}
