use super::*;
use crate::test_root::TestRoot;

#[test]
fn participant_names_go_both_ways_and_nothing_else_parses() {
    for (index, generation) in [(0, 0), (0, 1), (1023, Identity::MAX_GENERATION), (Identity::MAX_INDEX, 5)] {
        let who = Identity::new(index, generation).expect("in range");
        assert_eq!(parse_participant_name(OsStr::new(&participant_name(who))), Some(who));
    }
    for name in [
        "",
        ".",
        "..",
        "0001",
        "1.2",
        "+001.000000000001",
        "0001.00000000000G",
        "0001.00000000000A",
        "0001.000000000001.x",
        "#123",
        ".new-1-2",
        "99999.000000000001",
        "0001.1000000000000",
    ] {
        assert_eq!(parse_participant_name(OsStr::new(name)), None, "{name}");
    }
}

#[test]
fn topic_stems_are_file_names_and_distinct() {
    let stem = TopicStem::new("/a/b", "std_msgs/msg/String", 1);
    assert!(stem.as_str().starts_with("a.b-"));
    assert_eq!(TopicStem::from_name(OsStr::new(stem.as_str())), Some(stem.clone()));
    assert_ne!(stem, TopicStem::new("/a.b", "std_msgs/msg/String", 1));
    assert_ne!(stem, TopicStem::new("/a/b", "std_msgs/msg/String", 2));
    assert_ne!(stem, TopicStem::new("/a/b", "std_msgs/msg/Int32", 1));
    assert_ne!(TopicStem::new("/ab", "c", 0), TopicStem::new("/a", "bc", 0));
    let long = TopicStem::new(&"/x".repeat(4000), "ä/../..\0", u128::MAX);
    assert!(long.as_str().len() < 255 && !long.as_str().contains(['/', '\0']));
    assert_eq!(TopicStem::from_name(OsStr::new("x-12")), None);
}

#[test]
fn it_has_the_configured_mode_whatever_the_umask() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&Config { mode: 0o770, ..root.config() }).expect("create");
    for path in [directory.path().to_path_buf(), directory.participants_path(), directory.kept_path()] {
        assert_eq!(fs::metadata(path).expect("exists").mode() & 0o777, 0o770);
    }
    let error = Directory::open_or_create(&root.config()).expect_err("another mode");
    assert!(matches!(error, DirectoryError::WrongMode { found: 0o770, expected: 0o700, .. }), "{error}");
    assert_eq!(
        fs::read_dir(root.path()).expect("root").count(),
        2,
        "nothing beside the directory and its second names"
    );
}

#[test]
fn a_link_or_a_file_in_its_place_is_refused() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("create");
    directory.remove_all();
    assert!(!directory.path().exists());
    std::os::unix::fs::symlink("/tmp", directory.path()).expect("link");
    let error = Directory::open_or_create(&root.config()).expect_err("a link");
    assert!(matches!(error, DirectoryError::NotADirectory { found: "a symbolic link", .. }), "{error}");
    fs::remove_file(directory.path()).expect("remove");
    fs::write(directory.path(), "").expect("file");
    let error = Directory::open_or_create(&root.config()).expect_err("a file");
    assert!(matches!(error, DirectoryError::NotADirectory { .. }), "{error}");
}

#[test]
fn a_root_on_a_disk_is_refused_unless_allowed() {
    let config = Config { root: PathBuf::from("/proc"), ..Config::default() };
    let error = Directory::open_or_create(&config).expect_err("proc is not memory");
    assert!(matches!(error, DirectoryError::NotMemory { .. }), "{error}");
    let config = Config { root: PathBuf::from("/dev/shm/does-not-exist"), ..Config::default() };
    let error = Directory::open_or_create(&config).expect_err("missing");
    assert!(error.to_string().contains("does-not-exist"), "{error}");
}

#[test]
fn somebody_elses_directory_is_refused_by_name_owner_and_us() {
    let root = TestRoot::new();
    let directory = Directory::open_or_create(&root.config()).expect("create");
    if std::os::unix::fs::chown(directory.path(), Some(12345), None).is_err() {
        return; // Only root can give a file away.
    }
    let error = Directory::open_or_create(&root.config()).expect_err("foreign").to_string();
    let us = nix::unistd::geteuid();
    let path = directory.path().display().to_string();
    assert!([path, "12345".into(), format!("uid {us}")].iter().all(|part| error.contains(part)), "{error}");
}
