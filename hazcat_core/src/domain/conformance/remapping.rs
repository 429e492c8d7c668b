//! The same bytes seen by others: in this process and in another one, before and after the death of their owner.

use super::bench::{content, Bench};
use crate::domain::{CopyError, MemoryDomain, RemoteMemory};
use crate::ids::SegmentId;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

const ROOT: &str = "HAZCAT_CONFORMANCE_ROOT";
/// Bytes of the pieces that are looked at from elsewhere.
const LENGTHS: [usize; 4] = [1, 64, 5000, 3_000_000];
const BUDGET: usize = 64 << 20;

fn remote(bench: &Bench, segment: SegmentId) -> Arc<dyn RemoteMemory> {
    let mapped = bench.domain().remap(&bench.folder(), segment, Bench::owner().word());
    mapped.unwrap_or_else(|error| panic!("remap of a segment that is there: {error}"))
}

fn expect(remote: &dyn RemoteMemory, offset: usize, seed: u64, len: usize) {
    let mut bytes = vec![0; len];
    remote.copy_to_host(offset, &mut bytes).unwrap_or_else(|error| panic!("copy_to_host: {error}"));
    assert!(bytes == content(seed, len), "other bytes than were written, {len} of them");
    assert!(remote.address(offset, len).is_some(), "no address for bytes that are there");
}

/// What one allocator writes, others read through a mapping of their own, and copy into their own memory; outside of it they
/// reach nothing.
///
/// # Panics
/// Where the domain breaks its word.
pub fn others_read_what_was_written(bench: &Bench) {
    let (mut owner, mut other) = (bench.allocator(BUDGET), bench.allocator(BUDGET));
    for (seed, len) in LENGTHS.into_iter().enumerate() {
        let piece = owner.allocate(len).unwrap_or_else(|error| panic!("{len} bytes: {error}"));
        owner.copy_from(&content(seed as u64, len), &piece, 0).unwrap_or_else(|error| panic!("{error}"));
        let segment = owner.share(piece.segment).unwrap_or_else(|| panic!("no id"));
        let remote = remote(bench, segment);
        expect(remote.as_ref(), piece.byte_offset(), seed as u64, len);
        let copy = other.allocate(len).unwrap_or_else(|error| panic!("{len} bytes: {error}"));
        other
            .copy_from_remote(remote.as_ref(), piece.byte_offset(), len, &copy)
            .unwrap_or_else(|error| panic!("copy_from_remote: {error}"));
        assert!(super::bench::read(other.as_ref(), &copy, len) == content(seed as u64, len), "copied wrongly");
        let short = other.copy_from_remote(remote.as_ref(), piece.byte_offset(), copy.capacity + 1, &copy);
        assert!(matches!(short, Err(CopyError::Bounds { .. })), "copied over the end: {short:?}");
        // What is overwritten later is seen through the same mapping.
        owner.copy_from(&content(99, len), &piece, 0).unwrap_or_else(|error| panic!("{error}"));
        expect(remote.as_ref(), piece.byte_offset(), 99, len);
        for (offset, len) in [(usize::MAX, 1), (1 << 40, 1), (0, 1 << 40)] {
            assert!(remote.address(offset, len).is_none(), "an address outside the segment");
        }
        let outside = remote.copy_to_host(1 << 40, &mut [0]);
        assert!(matches!(outside, Err(CopyError::Bounds { .. })), "{outside:?}");
    }
    let nobody = bench.domain().remap(&bench.folder(), SegmentId(1), Bench::owner().word());
    assert!(nobody.is_err(), "a segment that there is not was mapped");
}

/// What another process wrote is read here; after it was killed still, and when its files are gone as well. A mapping made
/// after its death either has the right bytes, or is refused with an error.
///
/// `child` is the path of the test that calls [`child()`].
///
/// # Panics
/// Where the domain breaks its word.
pub fn what_is_mapped_outlives_its_owner(bench: &Bench, child: &str) {
    let (_crate, test) = child.split_once("::").unwrap_or(("", child));
    let exe = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(exe);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ROOT, bench.root());
    let mut owner = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{e}"));
    let mut lines = BufReader::new(owner.stdout.take().unwrap_or_else(|| unreachable!("piped"))).lines();
    let mut mapped = Vec::new();
    while let Some(Ok(line)) = lines.next() {
        let Some((_, text)) = line.split_once("@@") else { continue };
        let words: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [segment, offset, seed, len] = words[..] else { break };
        let remote = remote(bench, SegmentId(segment));
        expect(remote.as_ref(), offset as usize, seed, len as usize);
        mapped.push((SegmentId(segment), remote, offset as usize, seed, len as usize));
    }
    assert_eq!(mapped.len(), LENGTHS.len(), "the other process wrote something else");
    owner.kill().unwrap_or_else(|error| panic!("{error}"));
    let _ = owner.wait();
    for (segment, _, offset, seed, len) in &mapped {
        match bench.domain().remap(&bench.folder(), *segment, Bench::owner().word()) {
            Ok(remote) => expect(remote.as_ref(), *offset, *seed, *len),
            Err(error) => println!("not to be had after its owner's death: {error}"),
        }
    }
    let _ = std::fs::remove_dir_all(bench.folder().directory.path());
    for (_, remote, offset, seed, len) in &mapped {
        expect(remote.as_ref(), *offset, *seed, *len);
    }
}

/// What the other process of [`what_is_mapped_outlives_its_owner`] does; nothing in an ordinary test run.
///
/// # Panics
/// Where the domain is not to be had there.
pub fn child(domain: impl FnOnce() -> Option<Arc<dyn MemoryDomain>>) {
    let Some(root) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let domain = domain().unwrap_or_else(|| panic!("the domain is there in one process only"));
    let bench = Bench::on(domain, &root);
    let mut allocator = bench.allocator(BUDGET);
    let mut out = std::io::stdout();
    for (number, len) in LENGTHS.into_iter().enumerate() {
        let seed = 1000 + number as u64;
        let piece = allocator.allocate(len).unwrap_or_else(|error| panic!("{len} bytes: {error}"));
        allocator.copy_from(&content(seed, len), &piece, 0).unwrap_or_else(|error| panic!("{error}"));
        let segment = allocator.share(piece.segment).unwrap_or_else(|| panic!("no id"));
        let _ = writeln!(out, "@@{} {} {seed} {len}", segment.0, piece.byte_offset());
    }
    let _ = writeln!(out, "@@end");
    let _ = out.flush();
    // Until it is killed, or the parent is gone.
    let _ = std::io::stdin().read(&mut [0]);
}
