//! A process with more topics than its limit of open files, as a container of components has.

use crate::support::*;
use crate::types::pair;
use rmw_hazcat_rs::ffi;
use std::process::Command;

const PART: &str = "HAZCAT_TEST_DESCRIPTORS";
const LIMIT: u64 = 64;

#[test]
fn more_topics_than_the_limit_of_open_files() {
    let test = "descriptors::crowd";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let status = command.args(["--exact", test, "--ignored"]).env(PART, "1").status().unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "a part of the other test: it changes the limit of its process"]
fn crowd() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    assert!(limit.rlim_max >= 4 * LIMIT, "no test where the hard limit is {}", limit.rlim_max);
    limit.rlim_cur = LIMIT;
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut context = Context::new(new_domain());
    let node = context.node("crowd");
    let profile: ffi::rmw_qos_profile_t = qos();
    let publishers: Vec<_> = (0..2 * LIMIT).map(|n| node.publisher(&format!("/t{n}"), pair(), &profile)).collect();
    assert!(std::fs::File::open("/dev/null").is_ok(), "there is room for the program's own files");
    drop(publishers);
}
