//! Somebody overwrites, cuts, replaces and removes the files of the control plane while others use them. Nobody is taken for
//! dead, nobody turns in circles, and when it is over all is as if nothing had been.

use crate::support::{add_node, monotonic_ns, sees, wait_for_graph, wait_until, Peer, Random, TestRoot};
use std::fs::{self, File};
use std::os::unix::fs::{symlink, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Overwrites all of a file, in place.
fn overwrite(path: &Path, bytes: &[u8]) {
    let file = File::options().write(true).open(path).expect("open");
    file.write_all_at(bytes, 0).expect("write");
}

#[test]
fn an_overwritten_lease_makes_nobody_dead_and_is_put_right() {
    let root = TestRoot::new();
    let (one, other) = (root.join(), root.join());
    let mut child = Peer::start(&root);
    add_node(&one, "one");
    wait_for_graph(&other, || sees(&other, "one"));
    let path = one.directory().lease_path();
    let older = fs::read(&path).expect("read");
    // A generation later: what is written back afterwards is an older version.
    root.join().leave();
    let mut random = Random::seeded("lease");
    let mut noise = vec![0u8; older.len()];
    noise.iter_mut().for_each(|byte| *byte = random.next() as u8);
    let cut = |length: u64| File::options().write(true).open(&path).expect("open").set_len(length).expect("cut");
    let damages: [(&str, &dyn Fn()); 6] = [
        ("zeros", &|| overwrite(&path, &vec![0; older.len()])),
        ("noise", &|| overwrite(&path, &noise)),
        ("an older version", &|| overwrite(&path, &older)),
        ("emptied", &|| cut(0)),
        ("half of it", &|| cut(4096 + 8)),
        ("all ones", &|| overwrite(&path, &vec![0xff; older.len()])),
    ];
    for (what, damage) in damages {
        damage();
        for _ in 0..20 {
            assert!(one.is_alive(other.identity()) && other.is_alive(one.identity()), "{what}");
            assert!(one.is_alive(child.identity), "{what}");
        }
        let newcomer = root.join();
        wait_for_graph(&newcomer, || sees(&newcomer, "one"));
        wait_for_graph(&one, || one.graph().snapshot().participant(newcomer.identity()).is_some());
        wait_until("the generation is put right", || newcomer.is_alive(child.identity));
        for participant in [&one, &other, &newcomer] {
            assert!(
                !participant.is_known_dead(child.identity) && !participant.is_known_dead(newcomer.identity()),
                "{what}"
            );
        }
    }
    child.kill();
    child.wait();
    wait_until("a death is noticed all the same", || {
        !one.is_alive(child.identity) && one.is_known_dead(child.identity)
    });
}

/// What can be done to a file by anybody who may write to the folder.
fn damage(path: &Path, older: &[u8], mapped: bool, random: &mut Random) {
    // A pipe from an earlier stroke must not make us wait.
    let file = || File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path);
    let length = fs::metadata(path).map_or(0, |meta| meta.len());
    match random.below(9) {
        0..=2 => {
            let Ok(file) = file() else { return };
            for _ in 0..1 + random.below(8) {
                let _ = file.write_all_at(&random.next().to_le_bytes(), random.below(length.max(8) - 7));
            }
        }
        // Cutting a file that others have mapped is the one thing that hurts them, as is said.
        3 if !mapped => drop(file().map(|file| file.set_len(random.below(length.max(1))))),
        4 => drop(fs::remove_file(path)),
        5 => {
            let aside = path.with_extension("aside");
            // It may be a pipe by now.
            let _ = fs::remove_file(&aside);
            if fs::write(&aside, older).is_ok() {
                let _ = fs::rename(&aside, path);
            }
        }
        6 if fs::remove_file(path).is_ok() => drop(symlink("/etc/hostname", path)),
        7 if fs::remove_file(path).is_ok() => drop(fs::create_dir(path)),
        8 if fs::remove_file(path).is_ok() => drop(nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU)),
        _ => drop(file().and_then(|file| file.write_all_at(older, 0))),
    }
}

#[test]
fn random_damage_to_all_control_files_passes() {
    let duration = Duration::from_secs(if std::env::var_os("HAZCAT_LONG").is_some() { 120 } else { 4 });
    let root = TestRoot::new();
    let mut random = Random::seeded("control files");
    let here = root.join();
    let mut children: Vec<Peer> = (0..3).map(|_| Peer::start(&root)).collect();
    for (number, child) in children.iter_mut().enumerate() {
        child.ask(&format!("endpoints first_{number}"));
    }
    let directory = here.directory().path().to_path_buf();
    let control_files = || {
        let mut files = vec![directory.join("lease")];
        for folder in ["participants", "bells"] {
            files
                .extend(fs::read_dir(directory.join(folder)).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        files
    };
    let older: Vec<(PathBuf, Vec<u8>)> =
        control_files().into_iter().map(|path| (path.clone(), fs::read(path).expect("read"))).collect();
    let end = Instant::now() + duration;
    let mut count = 0;
    while Instant::now() < end {
        let files = control_files();
        let path = &files[random.below(files.len() as u64) as usize];
        let (_, old) = &older[random.below(older.len() as u64) as usize];
        let same = older.iter().find(|(known, _)| known == path).map_or(old, |(_, bytes)| bytes);
        damage(
            path,
            if random.below(4) == 0 { old } else { same },
            path.parent().is_some_and(|of| of.ends_with("bells")),
            &mut random,
        );
        count += 1;
        if random.below(20) == 0 {
            let at = random.below(3) as usize;
            children[at].ask(&format!("node during_{count}"));
        }
        std::thread::sleep(Duration::from_micros(random.below(4000)));
    }
    println!("{count} files damaged");
    // Nobody has crashed, and all find one another again.
    let before = monotonic_ns();
    for (number, child) in children.iter_mut().enumerate() {
        child.ask(&format!("endpoints last_{number}"));
    }
    for (number, child) in children.iter().enumerate() {
        let name = format!("last_{number}");
        wait_for_graph(&here, || sees(&here, &name));
        assert!(here.is_alive(child.identity) && !here.is_known_dead(child.identity));
    }
    for child in &mut children {
        child.ask("see 6");
    }
    println!("whole again after {} ms", (monotonic_ns() - before) / 1_000_000);
    let newcomer = root.join();
    wait_for_graph(&newcomer, || (0..3).all(|number| sees(&newcomer, &format!("last_{number}"))));
    // Nobody turns in circles: an idle second costs next to nothing.
    let spent = |children: &mut Vec<Peer>| -> u64 {
        children.iter_mut().map(|child| child.ask("cpu").parse::<u64>().expect("a number")).sum()
    };
    let before = spent(&mut children);
    std::thread::sleep(Duration::from_secs(1));
    let idle = spent(&mut children) - before;
    println!("{} us of processor time in an idle second of three processes", idle / 1000);
    assert!(idle < 300_000_000, "{idle} ns");
    for child in children {
        child.leave();
    }
}
