//! What this process has of what can leak.

/// Descriptors, mappings of shared files, bytes of private memory and bytes of it that malloc has handed out (both 0 where
/// ASAN_OPTIONS is set) of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub descriptors: usize,
    pub mappings: usize,
    pub resident: usize,
    pub allocated: usize,
}

impl Usage {
    pub fn now() -> Self {
        let count = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: usize = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        // Shared pages count as resident too; what is private to the process is what can leak.
        let shared: usize = statm.split(' ').nth(2).and_then(|word| word.parse().ok()).unwrap_or(0);
        // AddressSanitizer keeps what is freed.
        let counts = std::env::var_os("ASAN_OPTIONS").is_none();
        Self {
            descriptors: count("/proc/self/fd"),
            mappings: maps.lines().filter(|line| line.contains("/hazcat-")).count(),
            resident: if counts { (pages - shared.min(pages)) * 4096 } else { 0 },
            allocated: if counts { allocated() } else { 0 },
        }
    }
}

impl Usage {
    /// The least of some moments: a descriptor that a thread has open just now is no leak.
    pub fn at_rest() -> Self {
        let mut least = Self::now();
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            let now = Self::now();
            least.descriptors = least.descriptors.min(now.descriptors);
            least.mappings = least.mappings.min(now.mappings);
            least.resident = least.resident.min(now.resident);
            least.allocated = least.allocated.min(now.allocated);
        }
        least
    }
}

/// What is in use of all of malloc's arenas: grows with a leak, not with fragmentation.
fn allocated() -> usize {
    #[cfg(target_env = "gnu")]
    // SAFETY: only counts.
    let bytes = unsafe { libc::mallinfo2() }.uordblks;
    #[cfg(not(target_env = "gnu"))]
    let bytes = 0;
    bytes
}

/// What the descriptors of this process mean, each with how many there are of it.
pub fn descriptors() -> std::collections::BTreeMap<String, usize> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        *found.entry(target.to_string_lossy().into_owned()).or_default() += 1;
    }
    found
}
