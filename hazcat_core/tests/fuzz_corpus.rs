//! Every fuzz target (`hazcat_core::fuzz`), over the corpus in `fuzz/corpus` and over changes of it, for a short time each.
//!
//! `HAZCAT_FUZZ_SECONDS` (default 0.5) for each target; the seed is printed, and can be given by `HAZCAT_SEED`. libFuzzer itself
//! goes further: see `fuzz/README.md`.

mod support;

use hazcat_core::fuzz::TARGETS;
use hazcat_core::queue::layout;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Random, Watchdog};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| current(std::fs::read(path).expect("read"))).collect()
}

/// A kept topic file as one of today's layout: with another version, nobody would look any further.
fn current(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 16 && bytes.starts_with(&layout::MAGIC.to_ne_bytes()) {
        bytes[8..16].copy_from_slice(&layout::VERSION.to_ne_bytes());
    }
    bytes
}

/// As libFuzzer changes its inputs, roughly.
fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), random.next() as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            4 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            5 => {
                let words = [0, 1, 0xff, 0xffff, u64::MAX, 1 << 31, 1 << 63, random.next()];
                let word = words[random.below(8) as usize].to_le_bytes();
                bytes.splice(at..(at + 8).min(bytes.len()), word);
            }
            _ => {
                let other = &others[random.below(others.len() as u64) as usize];
                let from = random.below(other.len() as u64) as usize;
                let piece = &other[from..(from + 1 + random.below(64) as usize).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
        bytes.truncate(1 << 17);
    }
}

#[test]
fn no_bytes_do_any_harm() {
    let seconds = std::env::var("HAZCAT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0.5);
    let _watchdog = Watchdog::with_patience(Duration::from_secs_f64(120.0 + 10.0 * seconds));
    let mut random = Random::seeded("fuzz");
    for (name, target) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
        corpus.iter().for_each(|bytes| target(bytes));
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut count = corpus.len() as u64;
        while Instant::now() < end {
            let mut bytes = corpus[random.below(corpus.len() as u64) as usize].clone();
            change(&mut bytes, &corpus, &mut random);
            target(&bytes);
            count += 1;
        }
        println!("{name}: {count} executions");
        assert!(count > corpus.len() as u64);
    }
}

/// Makes the corpus anew: `HAZCAT_MAKE_CORPUS=1 cargo test --test fuzz_corpus`.
#[test]
fn make_corpus() {
    if std::env::var_os("HAZCAT_MAKE_CORPUS").is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let keep = |target: &str, name: &str, bytes: &[u8]| {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder).expect("folder");
        std::fs::write(folder.join(name), bytes).expect("write");
    };
    let root = support::Root::new();
    let here = root.join();
    let node = hazcat_core::graph::NodeRecord { name: "n".into(), namespace: "/".into(), enclave: "/".into() };
    let node = here.graph().add_node(node).expect("node").0;
    for kind in [hazcat_core::graph::EndpointKind::Publisher, hazcat_core::graph::EndpointKind::Client] {
        let record = hazcat_core::graph::EndpointRecord {
            kind,
            node,
            gid: [7; 16],
            name: "/topic".into(),
            type_name: "std_msgs/msg/String".into(),
            attributes: vec![1; 20],
        };
        here.graph().add_endpoint(record).expect("endpoint");
    }
    let participant = std::fs::read(here.directory().participant_path(here.identity())).expect("read");
    keep("participant_file", "whole", &participant);
    let length = u64::from_le_bytes(participant[72..80].try_into().expect("a word")) as usize;
    keep("graph", "whole", &participant[88..88 + length]);
    keep("graph", "empty", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let publisher = support::publisher(&here, "t", hazcat_core::PublisherOptions::default());
    support::publish(&publisher, 1, 1, 64);
    for (name, part) in [("topic", "topics"), ("segment", "payload")] {
        let bytes = std::fs::read(&root.files_in(part)[0]).expect("read");
        // Headers only: whole files are large, and mostly zeros.
        keep("headers", name, &bytes[..4096.min(bytes.len())]);
    }
    keep("names", "participant", b"0003.00000000004d");
    keep("names", "topic", b"/a/topic\nstd_msgs/msg/String");
    keep("names", "directory", b"/dev/shm/hazcat-g12-7");
    keep("config", "values", b"/dev/shm\n12\n0750\n1\nyes\n/tmp\n7\n0770\n1\n0\n12\n/x\n0700\ntrue\n1\n2");
    let mut random = Random::new(5);
    for name in ["keep_last", "keep_all", "transient_local"] {
        let mut bytes = match name {
            "keep_last" => vec![0x10, 0x10],
            "keep_all" => vec![1, 1],
            _ => vec![0x42, 0x42],
        };
        for _ in 0..40 {
            bytes.extend_from_slice(&(random.next() as u32).to_le_bytes());
            bytes.extend_from_slice(&(random.next() >> random.below(64)).to_le_bytes());
        }
        keep("queue", name, &bytes);
    }
}
