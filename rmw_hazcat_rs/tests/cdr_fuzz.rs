//! Hostile bytes: valid encodings cut, changed and made up. Whatever they are, reading neither panics
//! nor reads beyond them (run it under AddressSanitizer to see that), leaves the message valid, and
//! allocates in proportion to the bytes given.
//!
//! One test only, because memory is counted for the whole process.

mod common;

use common::generated::{Package, MESSAGES};
use common::random::{rounds, Random};
use common::tables::{self, Struct};
use common::value::Value;
use common::Message;
use rmw_hazcat_rs::typesupport::MessageType;

/// Bytes allocated with malloc by all of the process; 0 where malloc is not glibc's.
fn allocated() -> usize {
    // SAFETY: no requirements.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// Something near to a valid encoding, or far from it.
fn hostile(valid: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    match random.below(5) {
        0 => bytes.truncate(random.below(valid.len() + 1)),
        1 => {
            let len = random.below(200);
            bytes = (0..len).map(|_| random.next() as u8).collect();
            // Mostly behind a header that is accepted.
            if len >= 4 && !random.chance(8) {
                bytes[..4].copy_from_slice(&[0, random.next() as u8 & 1, 0, 0]);
            }
        }
        2 => {
            // A length that lies.
            let words = valid.len() / 4;
            if words > 1 {
                let at = 4 * (1 + random.below(words - 1));
                let lie = [u32::MAX, 0x7fff_ffff, random.next() as u32, random.below(1000) as u32, 0];
                bytes[at..at + 4].copy_from_slice(&lie[random.below(5)].to_le_bytes());
            }
        }
        _ => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] = if random.chance(2) { random.next() as u8 } else { 0xff };
            }
        }
    }
    bytes
}

fn attack(kind: &MessageType, random: &mut Random, attempts: usize) -> usize {
    let mut accepted = 0;
    let valid: Vec<Vec<u8>> = (0..4).map(|_| Value::random(kind, random).little_endian()).collect();
    let mut message = Message::new(kind);
    for attempt in 0..attempts {
        // Now and then into a fresh message, else over what the last attempt left.
        if attempt % 16 == 0 {
            message = Message::new(kind);
        }
        // In a piece of memory of its own size, so that the sanitizer sees every step behind it.
        let bytes = hostile(&valid[random.below(valid.len())], random).into_boxed_slice();
        let before = allocated();
        let result = message.read(&bytes);
        let grown = allocated().saturating_sub(before);
        // 4 bytes of input make at most one element; the largest of the test messages, with what its
        // default values own, is what that can cost.
        let limit = 4096 + bytes.len() * (16 + kind.size_of());
        assert!(grown <= limit, "{grown} bytes for {} of {}", bytes.len(), kind.ros_name());
        // Whatever happened, the message can still be written (unless it broke a bound before).
        if result.is_ok() {
            accepted += 1;
            let out = message.bytes().unwrap();
            message.read(&out).unwrap();
        } else {
            // SAFETY: the message is initialized.
            let _ = unsafe { kind.serialized_size(message.memory) }.unwrap();
        }
    }
    accepted
}

#[test]
fn hostile_bytes() {
    let mut random = Random::new("hostile bytes");
    let (mut attempts, mut accepted) = (0, 0);
    for _ in 0..rounds(300) {
        let table = Struct::random(&mut random, 3);
        let kind = table.message_type().unwrap();
        accepted += attack(&kind, &mut random, 200);
        attempts += 200;
        tables::forget_all();
    }
    if let Some(package) = Package::own() {
        for name in MESSAGES {
            for kind in package.message(name) {
                let times = if kind.size_of() > 60_000 { 20 } else { 10 * rounds(300) };
                accepted += attack(&kind, &mut random, times);
                attempts += times;
            }
        }
    }
    println!("{attempts} attempts, {accepted} accepted");
    assert!(accepted > 0 && accepted < attempts, "the bytes are not what they should be");
}
