use super::generation::{clock_generation, following, write_generation};
use super::*;
use crate::test_root::TestRoot;
use std::collections::HashSet;

fn take(directory: &Directory) -> Lease {
    Lease::acquire(directory).expect("lease")
}

#[test]
fn identities_are_distinct_and_never_reused() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let keeper = take(&directory);
    let mut seen = HashSet::from([keeper.identity()]);
    for _ in 0..50 {
        let lease = take(&directory);
        assert_eq!(lease.identity().index(), 1, "the lowest free index");
        assert!(seen.insert(lease.identity()), "generation reused");
        assert!(keeper.is_alive(lease.identity()));
        lease.release(&directory);
        assert!(!keeper.is_alive(lease.identity()));
    }
}

#[test]
fn a_former_holder_is_dead_while_its_byte_is_held_again() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let keeper = take(&directory);
    let first = take(&directory);
    first.release(&directory);
    let second = take(&directory);
    assert_eq!(first.identity().index(), second.identity().index());
    assert!(!keeper.is_alive(first.identity()) && keeper.is_alive(second.identity()));
    assert!(!second.is_alive(first.identity()), "a former holder of one's own byte is dead too");
    assert!(second.is_alive(second.identity()) && second.is_alive(keeper.identity()));
}

#[test]
fn the_last_one_out_removes_the_directory() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let (first, second) = (take(&directory), take(&directory));
    first.release(&directory);
    assert!(directory.lease_path().exists());
    second.release(&directory);
    assert!(!directory.path().exists());
    assert!(first.is_alive(second.identity()), "whoever has left knows nothing, which means alive");
}

#[test]
fn leftovers_of_the_dead_are_gone_when_the_first_joins() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let lease = take(&directory);
    let before = lease.identity();
    // As after SIGKILL: the lock goes, the files stay.
    drop(lease);
    let leftover = directory.path().join("topics").join("x");
    fs::write(&leftover, "").expect("write");
    let lease = take(&directory);
    assert!(!leftover.exists());
    assert!(is_later(lease.identity().generation(), before.generation()));
    fs::write(&leftover, "").expect("write");
    let _second = take(&directory);
    assert!(leftover.exists(), "nobody but the first may do that");
}

#[test]
fn a_lease_file_of_another_version_is_replaced_only_when_nobody_lives() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let lease = take(&directory);
    File::options().write(true).open(directory.lease_path()).expect("open").write_all_at(&[9], 8).expect("write");
    let error = Lease::acquire(&directory).err().expect("another version");
    assert!(matches!(error, LeaseError::File(FileError::WrongVersion { found: 9, .. })), "{error}");
    drop(lease);
    take(&directory);
}

#[test]
fn one_sweeper_at_a_time() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let (first, second) = (take(&directory), take(&directory));
    let guard = first.try_sweep_lock().expect("free");
    assert!(first.try_sweep_lock().is_none() && second.try_sweep_lock().is_none());
    drop(guard);
    assert!(second.try_sweep_lock().is_some());
    assert!(first.try_sweep_lock().is_some());
}

#[test]
fn joining_while_the_last_one_leaves_never_fails_and_never_loses_the_file() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let rounds = 1500;
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let lease = Lease::acquire(&directory).expect("join");
                    assert!(lease.name_is_ours(), "the directory was removed under a participant");
                    assert!(directory.participants_path().is_dir());
                    lease.release(&directory);
                }
            });
        }
    });
    assert!(!directory.path().exists(), "the last one left it behind");
}

#[test]
fn two_that_leave_at_once_do_not_leave_it_to_each_other() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let together = std::sync::Barrier::new(2);
    for round in 0..1000 {
        let leases = [take(&directory), take(&directory)];
        std::thread::scope(|scope| {
            for lease in &leases {
                scope.spawn(|| {
                    together.wait();
                    lease.release(&directory);
                });
            }
        });
        assert!(!directory.path().exists(), "round {round}");
    }
}

#[test]
fn the_domain_is_full_at_the_limit() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let first = take(&directory);
    let others = shm_file::open(&directory.lease_path(), Access::ReadWrite).expect("open");
    for byte in 1..MAX_PARTICIPANTS - 1 {
        assert!(ofd_lock::try_lock(&others, u64::from(byte), LockKind::Exclusive).expect("lock"));
    }
    let last = take(&directory);
    assert_eq!(last.identity().index(), MAX_PARTICIPANTS - 1);
    assert!(first.is_alive(last.identity()));
    assert!(matches!(Lease::acquire(&directory), Err(LeaseError::Full { .. })));
}

#[test]
fn generations_follow_the_clock_and_one_another_and_wrap_around() {
    let last = Identity::MAX_GENERATION;
    assert_eq!(following(None, 7), 7);
    assert_eq!([5, 6, 7, 8].map(|known| following(Some(known), 7)), [7, 7, 8, 9]);
    assert_eq!([last - 1, last, 1].map(|known| following(Some(known), last - 1)), [last, 1, 2]);

    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("directory");
    let keeper = take(&directory);
    let file = shm_file::open(&directory.lease_path(), Access::ReadWrite).expect("open");
    let ahead = clock_generation() + (1 << 40);
    write_generation(&file, 1, ahead).expect("write");
    let mut former = Vec::new();
    for expected in ahead + 1..ahead + 4 {
        let lease = take(&directory);
        assert_eq!((lease.identity().index(), lease.identity().generation()), (1, expected));
        assert!(keeper.is_alive(lease.identity()));
        assert!(former.iter().all(|who| !keeper.is_alive(*who)));
        former.push(lease.identity());
        lease.release(&directory);
    }
}
