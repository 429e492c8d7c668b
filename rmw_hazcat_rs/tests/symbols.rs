//! The shared library exports exactly what `rmw_implementation` loads, and what our own headers look for: every symbol, and
//! nothing else.
//!
//! A missing one makes the loader refuse the middleware; an extra one may take another library's place.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// What Jazzy's `rmw_implementation` loads.
const LOADED: &str = include_str!("symbols.txt");

/// Of these, what takes types that only newer headers have.
const NEEDS_DYNAMIC_MESSAGES: [&str; 3] =
    ["rmw_serialization_support_init", "rmw_take_dynamic_message", "rmw_take_dynamic_message_with_info"];

/// Of these, what Humble's `rmw_implementation` does not load; it loads all others, and nothing else.
const NEWER_THAN_HUMBLE: [&str; 6] = [
    "rmw_count_clients",
    "rmw_count_services",
    "rmw_get_gid_for_client",
    "rmw_serialization_support_init",
    "rmw_take_dynamic_message",
    "rmw_take_dynamic_message_with_info",
];

fn expected() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = LOADED
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    assert_eq!(names.len(), 94, "the list itself");
    let features = rmw_hazcat_rs::ffi::HEADER_FEATURES;
    if !features.contains(&"rmw_dynamic_messages") {
        for name in NEEDS_DYNAMIC_MESSAGES {
            assert!(names.remove(name), "{name}");
        }
    }
    if features.contains(&"rmw_event_type_is_supported") {
        names.insert("rmw_event_type_is_supported".to_owned());
    }
    names.extend(OWN.map(str::to_owned));
    names
}

/// What `include/rmw_hazcat_rs` looks for.
const OWN: [&str; 3] = ["rmw_hazcat_rs_domain_of", "rmw_hazcat_rs_simulated_read", "rmw_hazcat_rs_simulated_write"];

/// The library that cargo built together with this test.
fn library() -> Vec<u8> {
    let test = std::env::current_exe().unwrap();
    let candidates: Vec<PathBuf> =
        test.ancestors().skip(1).take(2).map(|dir| dir.join("librmw_hazcat_rs.so")).collect();
    let found = candidates.iter().find(|path| path.exists());
    let path = found.unwrap_or_else(|| panic!("the shared library is in none of {candidates:?}"));
    std::fs::read(path).unwrap()
}

fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    let mut value = [0; 8];
    value[..size].copy_from_slice(&bytes[at..at + size]);
    usize::try_from(u64::from_le_bytes(value)).unwrap()
}

/// Names of the defined symbols in the dynamic symbol table of a 64-bit little-endian ELF file.
fn exported(elf: &[u8]) -> BTreeSet<String> {
    assert_eq!(&elf[..6], b"\x7fELF\x02\x01", "not a 64-bit little-endian ELF file");
    const SHT_DYNSYM: usize = 11;
    let (headers, size, count) = (number(elf, 0x28, 8), number(elf, 0x3a, 2), number(elf, 0x3c, 2));
    let section = |index: usize| headers + index * size;
    let table = (0..count).map(section).find(|at| number(elf, at + 4, 4) == SHT_DYNSYM).expect("no dynamic symbols");
    let strings = number(elf, section(number(elf, table + 0x28, 4)) + 0x18, 8);
    let (offset, length, entry) =
        (number(elf, table + 0x18, 8), number(elf, table + 0x20, 8), number(elf, table + 0x38, 8));
    (offset..offset + length)
        .step_by(entry)
        .filter(|symbol| number(elf, symbol + 6, 2) != 0)
        .map(|symbol| {
            let start = strings + number(elf, symbol, 4);
            let end = elf[start..].iter().position(|byte| *byte == 0).unwrap();
            String::from_utf8(elf[start..start + end].to_vec()).unwrap()
        })
        .collect()
}

#[test]
fn exactly_what_is_loaded_is_exported() {
    let (expected, found) = (expected(), exported(&library()));
    let missing: Vec<_> = expected.difference(&found).collect();
    let extra: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:?}\nextra: {extra:?}");
}

#[test]
fn what_humble_loads_is_there_at_every_level() {
    let found = exported(&library());
    let humble: Vec<&str> = LOADED
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !NEWER_THAN_HUMBLE.contains(line))
        .collect();
    assert_eq!(humble.len(), 88, "the list itself");
    let missing: Vec<_> = humble.iter().filter(|name| !found.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
