//! Where a message lies: shown by the demos that loan their messages, so that zero copy can be seen.

use std::fs;

/// The file behind the memory at `address` and the place in it, as `inode 7 offset 4096 access rw- /dev/shm/...`; two
/// processes that print the same inode and offset look at the same bytes.
pub fn describe<T>(address: *const T) -> String {
    let address = address as u64;
    fs::read_to_string("/proc/self/maps")
        .ok()
        .and_then(|maps| maps.lines().find_map(|line| describe_line(line, address)))
        .unwrap_or_else(|| "not mapped".into())
}

fn describe_line(line: &str, address: u64) -> Option<String> {
    let mut fields = line.split_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let (begin, end) = (u64::from_str_radix(begin, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    if !(begin..end).contains(&address) {
        return None;
    }
    let access = fields.next()?.get(..3)?;
    let offset = u64::from_str_radix(fields.next()?, 16).ok()? + (address - begin);
    let inode = fields.nth(1)?;
    if inode == "0" {
        return Some("anonymous memory".into());
    }
    Some(format!("inode {inode} offset {offset} access {access} {}", fields.next().unwrap_or("")))
}
