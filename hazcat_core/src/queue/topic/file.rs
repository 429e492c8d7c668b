//! A topic's file: made, mapped, and removed when nobody has it open.

use super::layout::{self, TopicHeaderLayout, TopicLayout};
use super::{kept, sweep, History, TopicKey};
use crate::directory::kept::kept_name;
use crate::directory::{Directory, TopicStem};
use crate::domain::DomainId;
use crate::ring::RingView;
use crate::sync::atomic::Ordering;
use crate::sys::file_id::FileId;
use crate::sys::mapping::{Access, Mapping};
use crate::sys::ofd_lock::{self, LockKind};
use crate::sys::shm_file::{self, FileError, NewFile};
use std::fs::File;
use std::path::Path;

pub(super) fn map(file: &File, path: &Path) -> Result<TopicLayout, FileError> {
    let mapping = shm_file::map_checked(file, path, Access::ReadWrite, layout::MAGIC, layout::VERSION, false)?;
    TopicLayout::new(mapping)
        .ok_or_else(|| FileError::Corrupt { path: path.to_path_buf(), what: "capacity and length disagree" })
}

pub(super) fn create(path: &Path, key: &TopicKey, wished_capacity: usize, mode: u32) -> Result<(), FileError> {
    let capacity = wished_capacity.next_power_of_two().clamp(History::MIN_CAPACITY, History::MAX_CAPACITY);
    let new = NewFile::create(path, mode, layout::file_size(capacity), 4096)?;
    let (slots, slots_len) = layout::slots_range(capacity);
    for (offset, len) in [layout::subscription_pages(0), layout::publisher_pages(0), (slots, slots_len)] {
        shm_file::reserve(new.file(), path, offset, len)?;
    }
    let len = layout::file_size(capacity) as usize;
    let mapping = Mapping::new(new.file(), 0, len, Access::ReadWrite, false)
        .map_err(|error| FileError::from_io(path, len as u64, error))?;
    let corrupt = |what| FileError::Corrupt { path: path.to_path_buf(), what };
    let header = mapping.record::<TopicHeaderLayout>(0).ok_or_else(|| corrupt("shorter than a header"))?;
    header.file.stamp(layout::MAGIC, layout::VERSION);
    header.capacity.store(capacity as u64, Ordering::Relaxed);
    header.type_hash[0].store(key.type_hash as u64, Ordering::Relaxed);
    header.type_hash[1].store((key.type_hash >> 64) as u64, Ordering::Relaxed);
    let layout = TopicLayout::new(mapping).ok_or_else(|| corrupt("capacity and length disagree"))?;
    layout.write_names(&key.name, &key.type_name);
    if let Some(host) = layout.domains().first() {
        host.domain.store(DomainId::HOST.word(), Ordering::Relaxed);
    }
    layout.hot().head.store(RingView::first_sequence(capacity).0, Ordering::Relaxed);
    fault_point!("topic.create.filled");
    new.publish()?;
    fault_point!("topic.create.published");
    Ok(())
}

/// Removes a topic file and the segments of its publishers if nobody has the topic open. `lock` is an open description of
/// the file; the exclusive lock is taken through it.
pub(in crate::queue) fn remove_if_unused(lock: &File, directory: &Directory, topic: &TopicStem) -> bool {
    let path = &directory.topic_path(topic);
    if !matches!(ofd_lock::try_lock(lock, 0, LockKind::Exclusive), Ok(true)) {
        return false;
    }
    fault_point!("topic.remove.locked");
    let Ok(file) = FileId::of_file(lock) else { return false };
    let second = kept_name(path).filter(|second| file.is_named(second));
    let same = file.is_named(path);
    if let Some(name) = same.then_some(path).or(second.as_ref()) {
        // Who waits for the shared lock, or has the file open without it, must see that it is over.
        let header = shm_file::open(name, Access::ReadWrite)
            .ok()
            .and_then(|file| Mapping::new(&file, 0, 4096, Access::ReadWrite, false).ok());
        if let Some(header) = header.as_ref().and_then(|mapping| mapping.record::<TopicHeaderLayout>(0)) {
            header.closed.store(1, Ordering::Release);
        }
        fault_point!("topic.remove.closed");
    }
    // What was put in the place of a topic in use has no segments.
    if same && (second.is_some() || !kept::is_in_use(directory, topic)) {
        sweep::remove_segments(directory, topic);
        fault_point!("topic.remove.segments-gone");
    }
    if let Some(second) = second {
        let _ = std::fs::remove_file(second);
        fault_point!("topic.remove.second-name-gone");
    }
    if same {
        let _ = std::fs::remove_file(path);
        fault_point!("topic.remove.gone");
    }
    let _ = ofd_lock::unlock(lock, 0);
    same
}
