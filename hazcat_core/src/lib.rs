//! Zero-copy publish/subscribe on one host.

pub mod ids;
#[cfg(not(loom))]
pub mod sys;
pub mod sync;
pub mod doorbell;
pub mod ring;
