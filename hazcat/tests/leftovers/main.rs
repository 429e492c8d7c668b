//! `hazcat list` and `hazcat clean` among living, stopped and killed processes.
//!
//! Each test has a root folder of its own. Children are this same test binary, run with [`child`] as their only test.

mod stats;
mod support;

use hazcat_core::graph::NodeRecord;
use hazcat_core::{
    Config, Gid, MessageMeta, Participant, Publisher, PublisherOptions, Subscription, SubscriptionOptions,
};
use serde_json::{json, Value};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// Not a test: what a child runs.
#[test]
fn child() {
    let (Some(root), Ok(name)) = (std::env::var_os(ROOT), std::env::var(NAME)) else { return };
    let say = |text: &str| {
        println!("@@{text}");
        std::io::stdout().flush().expect("the parent reads");
    };
    let config = Config { root: root.into(), ..Config::default() };
    let participant = Participant::join(&config).expect("join");
    let node = NodeRecord { name, namespace: "/".into(), enclave: String::new() };
    participant.graph().add_node(node).expect("node");
    let gid = |number| Gid::new(participant.identity(), number);
    let options = PublisherOptions { gid: gid(1), ..PublisherOptions::default() };
    let publisher = Publisher::new(&participant, &topic(), options).expect("publisher");
    let options = SubscriptionOptions { gid: gid(2), ..SubscriptionOptions::default() };
    let subscription = Subscription::new(&participant, &topic(), options).expect("subscription");
    let publish = || {
        let loan = publisher.loan(1 << 20).expect("loan");
        publisher.publish(loan, &MessageMeta::default()).expect("publish");
    };
    publish();
    say("ready");
    for line in std::io::stdin().lines() {
        match line.expect("the parent writes").as_str() {
            "publish" => {
                publish();
                say("published");
            }
            "take" => {
                while subscription.take().expect("take").is_some() {}
                say("empty");
            }
            "wait" => {
                let deadline = Instant::now() + PATIENCE;
                while subscription.take().expect("take").is_none() {
                    assert!(Instant::now() < deadline, "no message");
                    std::thread::sleep(Duration::from_millis(1));
                }
                say("taken");
            }
            other => panic!("unknown line {other}"),
        }
    }
}

#[test]
fn it_shows_who_is_alive_and_cleans_up_behind_the_dead_only() {
    let root = Root::new();
    let mut survivor = Peer::start(&root, "survivor");
    let victim = Peer::start(&root, "victim");
    // Stopped, so that it does not clean up itself.
    survivor.ask("take");
    survivor.stop();
    let victim_id = victim.id();

    let list = root.list();
    let participants = only(&list, "participants");
    assert_eq!(participants.len(), 2);
    for participant in participants {
        assert_eq!(participant["alive"], true, "{list:#}");
        let name = participant["nodes"][0].as_str().expect("a node");
        let expected = if name == "/survivor" { survivor.id() } else { victim_id };
        assert_eq!(participant["processes"][0]["pid"], expected, "{participant:#}");
        assert!(participant["since"].as_u64().is_some_and(|since| since > 1_600_000_000), "{participant:#}");
    }
    let topic = &only(&list, "topics")[0];
    assert_eq!((&topic["name"], &topic["type"], &topic["open"]), (&"t".into(), &"test/Type".into(), &true.into()));
    assert_eq!(topic["publishers"].as_array().map(Vec::len), Some(2));
    assert_eq!(topic["subscriptions"].as_array().map(Vec::len), Some(2));
    assert_eq!(topic["published"], 2);
    let segments = only(&list, "segments");
    assert!(segments
        .iter()
        .all(|segment| segment["state"] == "in use" && segment["file"]["bytes"].as_u64() >= Some(1 << 20)));

    victim.kill();
    let list = root.list();
    let dead: Vec<_> = only(&list, "participants").iter().filter(|participant| participant["alive"] == false).collect();
    assert_eq!((dead.len(), &dead[0]["nodes"][0]), (1, &"/victim".into()), "{list:#}");
    assert!(dead[0]["processes"].as_array().expect("a list").is_empty());
    let text = root.says(&["list"]);
    for part in ["dead", "alive", "/victim", "/survivor", &format!("held by {}", survivor.id()), "topic t [test/Type]"]
    {
        assert!(text.contains(part), "{part} in:\n{text}");
    }

    let before = root.files("participants");
    let dry = root.says(&["clean", "--dry-run"]);
    assert!(dry.contains("in use"), "{dry}");
    assert_eq!(root.files("participants"), before, "a dry run changes nothing");
    let cleaned: Value = serde_json::from_str(&root.says(&["clean", "--json"])).expect("JSON");
    assert_eq!(cleaned["cleaned"][0]["result"], "in use", "{cleaned:#}");
    assert_eq!((root.files("participants").len(), root.files("bells").len()), (1, 1));
    assert_eq!(root.files("topics").len(), 1, "the survivor has it open");

    // The survivor has lost nothing: not even the message that the dead one had published.
    survivor.signal(libc::SIGCONT);
    let mut other = Peer::start(&root, "other");
    survivor.ask("take");
    other.ask("take");
    other.ask("publish");
    assert_eq!(survivor.ask("wait"), "taken");
    survivor.ask("publish");
    other.ask("take");
}

#[test]
fn what_everybody_left_is_removed_and_the_machine_is_clean() {
    let root = Root::new();
    let peers: Vec<Peer> = ["one", "two", "three"].iter().map(|name| Peer::start(&root, name)).collect();
    // All at once, so that none is left to clean up behind the others.
    peers.iter().for_each(Peer::stop);
    peers.into_iter().for_each(Peer::kill);
    let list = root.list();
    assert_eq!(only(&list, "participants").len(), 3, "{list:#}");
    assert!(root.says(&["list"]).contains("nobody is alive here"));
    std::fs::write(root.directory().join("topics").join("foreign"), "x").expect("write");
    assert!(root.says(&["clean", "--dry-run"]).contains("nobody alive"));
    let said = root.says(&["clean"]);
    assert!(said.contains("removed") && said.contains("payload/"), "{said}");
    assert!(std::fs::read_dir(&root.0).expect("root").next().is_none(), "{said}");
    assert!(root.says(&["list"]).contains("nothing"));
    assert!(root.says(&["clean"]).contains("0 files"));
}

#[test]
fn an_unclean_machine_heals_itself_at_the_next_start() {
    let root = Root::new();
    for round in 0..3 {
        let peers: Vec<Peer> = ["one", "two"].iter().map(|name| Peer::start(&root, name)).collect();
        peers.iter().for_each(Peer::stop);
        peers.into_iter().for_each(Peer::kill);
        let directory = root.directory();
        assert_eq!(root.files("participants").len(), 2);
        let lease = directory.join("lease");
        // Worse than any crash: other things in our places.
        match round {
            0 => std::fs::write(directory.join("topics").join("junk"), "junk").expect("write"),
            1 => {
                std::fs::remove_file(&lease).expect("remove");
                symlink("/etc/passwd", &lease).expect("symlink");
                std::fs::remove_dir_all(directory.join("topics")).expect("remove");
                symlink("/nowhere", directory.join("topics")).expect("symlink");
            }
            _ => {
                std::fs::write(&lease, "no lease").expect("write");
                std::fs::remove_dir_all(directory.join("bells")).expect("remove");
                std::fs::write(directory.join("bells"), "a file").expect("write");
            }
        }
        let participant = Participant::join(&root.config()).expect("join");
        assert_eq!(root.files("participants").len(), 1, "round {round}");
        assert!(root.files("payload").is_empty() && root.files("topics").is_empty(), "round {round}");
        let publisher = Publisher::new(&participant, &topic(), PublisherOptions::default()).expect("publisher");
        let subscription =
            Subscription::new(&participant, &topic(), SubscriptionOptions::default()).expect("subscription");
        let loan = publisher.loan(16).expect("loan");
        publisher.publish(loan, &MessageMeta::default()).expect("publish");
        assert!(subscription.take().expect("take").is_some());
        drop((publisher, subscription));
        participant.leave();
        assert!(std::fs::read_dir(&root.0).expect("root").next().is_none(), "round {round}");
    }
}

#[test]
fn symbolic_links_lead_nowhere() {
    let root = Root::new();
    let victim = root.0.join("precious");
    std::fs::create_dir(&victim).expect("folder");
    std::fs::write(victim.join("file"), "precious").expect("write");
    let outside = Root::new();
    let peer = Peer::start(&outside, "one");
    peer.stop();
    peer.kill();
    let directory = outside.directory();
    std::fs::remove_dir_all(directory.join("topics")).expect("remove");
    symlink(&victim, directory.join("topics")).expect("symlink");
    // A directory that is a link as a whole.
    symlink(&victim, outside.0.join("hazcat-12-0")).expect("symlink");
    outside.says(&["clean"]);
    assert!(victim.join("file").exists());
    // Nor does a join follow them.
    std::fs::remove_file(outside.0.join("hazcat-12-0")).expect("remove");
    let directory = outside.0.join(format!("hazcat-{}-0", nix::unistd::geteuid()));
    if !directory.exists() {
        std::fs::create_dir(&directory).expect("folder");
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o700)).expect("mode");
    }
    let _ = std::fs::remove_file(directory.join("topics"));
    symlink(&victim, directory.join("topics")).expect("symlink");
    let participant = Participant::join(&outside.config()).expect("join");
    participant.leave();
    assert!(victim.join("file").exists());
}

#[test]
fn who_lost_the_lease_file_is_left_alone() {
    let root = Root::new();
    let peer = Peer::start(&root, "one");
    peer.stop();
    std::fs::remove_file(root.directory().join("lease")).expect("remove");
    let said = root.says(&["clean"]);
    assert!(said.contains("busy"), "{said}");
    assert_eq!((root.files("topics").len(), root.files("payload").len(), root.files("participants").len()), (1, 1, 1));
}

/// Somebody removes the directory, and everybody is killed before they give things their names back.
#[test]
fn what_is_left_of_a_removed_directory_is_shown_and_removed() {
    let root = Root::new();
    let peer = Peer::start(&root, "one");
    peer.stop();
    let (directory, kept) = (root.directory(), root.second_names());
    std::fs::remove_dir_all(&directory).expect("remove");
    let topics = |list: &Value| only(list, "topics").iter().map(|topic| topic["open"].clone()).collect::<Vec<_>>();
    let list = root.list();
    assert_eq!(list["directories"][0]["path"], directory.to_str().expect("text"));
    assert_eq!(topics(&list), [true], "{list:#}");
    assert!(root.says(&["clean"]).contains("busy") && kept.join("topics").exists(), "it is in use");
    peer.kill();
    let list = root.list();
    assert_eq!((topics(&list), only(&list, "segments").len()), (vec![json!(false)], 1), "{list:#}");
    assert!(list["directories"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let foreseen = root.says(&["clean", "--dry-run"]);
    assert!(kept.join("topics").exists() && !directory.exists());
    let said = root.says(&["clean"]);
    for said in [foreseen, said] {
        assert!(said.contains(": 2 files, "), "{said}");
    }
    assert_eq!(std::fs::read_dir(&root.0).expect("root").count(), 0);
}

#[test]
fn root_cleans_with_the_rights_of_the_owner() {
    const USER: u32 = 54331;
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let root = Root::new();
    let peer = Peer::start_as(&root, "one", Some(USER));
    let list = root.list();
    assert_eq!(list["directories"][0]["owner"], USER);
    assert_eq!(only(&list, "participants")[0]["alive"], true);
    assert!(root.says(&["clean"]).contains("in use"));
    assert_eq!(root.files("participants").len(), 1);
    peer.kill();
    // What only root may remove is not removed with the owner's rights.
    let precious = root.directory().join("foreign");
    std::fs::create_dir(&precious).expect("folder");
    root.says(&["clean"]);
    assert!(precious.exists() && !root.directory().join("lease").exists());
    std::fs::remove_dir(&precious).expect("remove");
}

#[test]
fn what_is_not_ours_stays_and_is_said_to_stay() {
    let root = Root::new();
    Peer::start(&root, "one").kill();
    let (kept, gone) = (root.directory().join("notes"), root.directory().join("topics").join("notes"));
    [&kept, &gone].iter().for_each(|path| std::fs::write(path, "x").expect("write"));
    let said = root.says(&["clean", "--dry-run"]);
    assert!(said.contains("topics/notes") && !said.contains("    notes"), "{said}");
    let said = root.says(&["clean"]);
    assert!(said.contains("emptied") && said.contains("topics/notes") && kept.exists() && !gone.exists(), "{said}");
    let cleaned: Value = serde_json::from_str(&root.says(&["clean", "--json"])).expect("JSON");
    assert!(cleaned["cleaned"][0]["result"].as_str().expect("a word").contains("emptied"), "{cleaned:#}");
    std::fs::remove_file(&kept).expect("remove");
    assert!(root.says(&["clean"]).contains("removed: 0 files"));
    assert!(std::fs::read_dir(&root.0).expect("root").next().is_none());
}

/// In a folder that a group shares, others choose names; whoever looks is perhaps root.
#[test]
fn names_that_others_chose_are_shown_without_being_obeyed() {
    let root = Root::new();
    let peer = Peer::start(&root, "one");
    let name = std::ffi::OsStr::from_bytes(b"\xff\x1b]0;owned\x07\nparticipant \xe2\x80\xae");
    std::fs::write(root.directory().join(name), "x").expect("write");
    let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    for arguments in [&["list"][..], &["stats"], &["clean", "--dry-run"], &["clean"]] {
        let said = root.says(arguments);
        assert!(!said.contains(obeyed) && !said.lines().any(|line| line.starts_with("participant")), "{said:?}");
    }
    assert!(root.says(&["list"]).contains("\u{fffd}\\u{1b}]0;owned"));
    // Not UTF-8, and JSON all the same.
    assert!(only(&root.list(), "foreign")[0]["path"].as_str().expect("a path").contains("owned"));
    peer.kill();
    let foreseen = root.says(&["clean", "--dry-run", "--json"]);
    serde_json::from_str::<Value>(&foreseen).expect("JSON");
    let said = root.says(&["list"]);
    assert!(!said.contains(obeyed), "{said:?}");
}

#[test]
fn who_stops_reading_is_no_error() {
    let root = Root::new();
    let peer = Peer::start(&root, "one");
    (0..2000).for_each(|number| std::fs::write(root.directory().join(number.to_string()), "").expect("write"));
    for arguments in [&["list"][..], &["list", "--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hazcat"));
        let command = command.args(arguments).arg("--root").arg(&root.0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("hazcat");
        let mut first = String::new();
        BufReader::with_capacity(64, child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
        let output = child.wait_with_output().expect("its end");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
    peer.kill();
}

#[test]
fn isolated_contexts_are_shown_and_removed_when_dead() {
    let root = Root::new();
    let (dead, alive) = (root.0.join("hazcat-isolated-0-1-0"), root.0.join("hazcat-isolated-0-2-0"));
    for folder in [&dead, &alive] {
        std::fs::create_dir(folder).expect("folder");
        std::fs::write(folder.join("file"), "x").expect("write");
    }
    let lock = nix::fcntl::Flock::lock(std::fs::File::open(&alive).expect("open"), nix::fcntl::FlockArg::LockExclusive);
    let lock = lock.map_err(|(_, errno)| errno).expect("lock");
    let list = root.list();
    let states: Vec<_> = list["isolated"].as_array().expect("a list").iter().map(|one| one["alive"].clone()).collect();
    assert_eq!(states, [false, true]);
    root.says(&["clean"]);
    assert!(!dead.exists() && alive.join("file").exists());
    drop(lock);
}

#[test]
fn mistakes_on_the_command_line_are_told() {
    let root = Root::new();
    for arguments in [&["remove"][..], &[], &["list", "--dry-run"], &["list", "--domain", "x"], &["list", "clean"]] {
        let output = root.hazcat(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--help"), "{arguments:?}");
    }
    let nowhere =
        Command::new(env!("CARGO_BIN_EXE_hazcat")).args(["list", "--root", "/nowhere"]).output().expect("hazcat");
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("/nowhere"));
    assert!(Path::new(env!("CARGO_BIN_EXE_hazcat")).exists());
}
