//! What a device is called for ever: its UUID. Numbers are another order in every process that has `CUDA_VISIBLE_DEVICES`.

use crate::domain::DomainId;
use std::fmt;

/// Set in the instance of every CUDA device's [`DomainId`]: told from a device number, which is smaller.
const HASHED: u32 = 1 << 23;

/// A device's UUID; printed as `GPU-8f2c...`, as `nvidia-smi -L` does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeviceUuid(pub [u8; 16]);

impl DeviceUuid {
    /// The device's memory domain: the same in every process, whatever number the device has there.
    pub fn domain(self) -> DomainId {
        DomainId::new(super::KIND, self.instance()).unwrap_or(DomainId::HOST)
    }

    fn instance(self) -> u32 {
        // FNV-1a; the upper bits of a product depend on all of what was multiplied.
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = self.0.iter().fold(0xcbf2_9ce4_8422_2325, step);
        HASHED | (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 41) as u32
    }

    /// Whether an instance is one of those that [`DeviceUuid::domain`] makes.
    pub(super) fn is_hashed(instance: u32) -> bool {
        instance & HASHED != 0
    }

    /// As two words, for shared memory.
    pub(super) fn words(self) -> [u64; 2] {
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let (high, low) = self.0.split_at(8);
        [word(high), word(low)]
    }

    /// Whether `text` (`GPU-8f2c...`, or `MIG-...` for a part of a device) is this UUID or the beginning of it.
    pub fn begins_with(self, text: &str) -> bool {
        let digits = text.strip_prefix("GPU-").or_else(|| text.strip_prefix("MIG-"));
        digits.is_some_and(|digits| !digits.is_empty() && self.digits().starts_with(&digits.to_ascii_lowercase()))
    }

    fn digits(self) -> String {
        let mut text = String::new();
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }
}

impl fmt::Display for DeviceUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPU-{}", self.digits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_printed_and_found_as_the_vendor_prints_it() {
        let uuid = DeviceUuid([0x8f, 0x2c, 0x01, 0x23, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(uuid.to_string(), "GPU-8f2c0123-0405-0607-0809-0a0b0c0d0eff");
        for text in ["GPU-8", "GPU-8F2C", "MIG-8f2c0123-04", "GPU-8f2c0123-0405-0607-0809-0a0b0c0d0eff"] {
            assert!(uuid.begins_with(text), "{text}");
        }
        for text in ["", "GPU-", "8f2c", "GPU-9", "GPU-8f2c0123-0405-0607-0809-0a0b0c0d0eff0"] {
            assert!(!uuid.begins_with(text), "{text}");
        }
    }

    #[test]
    fn the_domain_is_told_from_a_device_number_and_differs_between_devices() {
        let domains: std::collections::HashSet<_> = (0..200u8).map(|n| DeviceUuid([n; 16]).domain()).collect();
        assert_eq!(domains.len(), 200);
        assert!(domains.iter().all(|id| DeviceUuid::is_hashed(id.instance()) && id.kind() == "cuda"));
        assert!(!DeviceUuid::is_hashed(1023));
    }
}
