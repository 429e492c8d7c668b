//! Looking, without changing anything.

use super::holders::Holders;
use super::{
    DomainReport, EndpointCounters, EndpointReport, FileReport, ParticipantReport, Report, SegmentReport, SegmentState,
    TopicReport,
};
use crate::directory::kept::kept_name;
use crate::directory::{Directory, TopicStem};
use crate::graph::file as graph_file;
use crate::ids::Identity;
use crate::lease::Observer;
use crate::queue::layout::{self, DomainRecord, Owner, TopicLayout, ACTIVE, COPIER};
use crate::queue::{PublisherCounters, SubscriptionCounters};
use crate::ring::RingView;
use crate::sync::atomic::Ordering;
use crate::sys::mapping::Access;
use crate::sys::ofd_lock;
use crate::sys::shm_file::{self, FileError};
use nix::sys::memfd::{memfd_create, MFdFlags};
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What lies in a directory.
///
/// # Errors
/// [`FileError`] where the directory itself cannot be looked at; what cannot be read in it is told in the report.
pub fn look(directory: &Directory) -> Result<Report, FileError> {
    look_among(directory, Holders::look(directory.path()))
}

/// The same with processes looked up before; none are for who wants to know of none. (`/proc` takes most of the time.)
pub(crate) fn look_among(directory: &Directory, holders: Holders) -> Result<Report, FileError> {
    let path = directory.path().to_path_buf();
    let meta = directory.metadata()?;
    // Refused here rather than shown as empty.
    let folder = if directory.is_removed() { directory.kept_path() } else { path.clone() };
    fs::read_dir(&folder).map_err(|error| FileError::from_io(&folder, 0, error))?;
    let (lease, lease_problem) = match Observer::open(directory, Access::ReadOnly) {
        Ok(lease) => (Some(lease), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let eyes = Eyes { directory, lease, holders };
    let participants = eyes.participants();
    let mut topics = directory.topics().unwrap_or_default();
    topics.extend(directory.kept_topics());
    topics.sort_unstable();
    topics.dedup();
    let topics: Vec<TopicReport> = topics.iter().filter_map(|topic| eyes.topic(topic)).collect();
    let segments = eyes.segments();
    let (bytes, foreign) = eyes.all_files(&participants, &topics, &segments);
    Ok(Report {
        domain_id: directory.domain_id(),
        owner: meta.uid(),
        group: directory.group(),
        mode: meta.mode() & 0o7777,
        since: meta.created().or(meta.modified()).ok(),
        lease_problem,
        participants,
        topics,
        segments,
        foreign,
        bytes,
        path,
    })
}

struct Eyes<'a> {
    directory: &'a Directory,
    lease: Option<Observer>,
    holders: Holders,
}

impl Eyes<'_> {
    /// Without a lease nobody can be found alive, but who has lost it may be.
    fn is_alive(&self, who: Identity) -> Option<bool> {
        self.lease.as_ref().map(|lease| lease.is_alive(who))
    }

    fn participants(&self) -> Vec<ParticipantReport> {
        let mut all: BTreeSet<Identity> = self.directory.participants().unwrap_or_default().into_iter().collect();
        all.extend(self.directory.bell_owners().unwrap_or_default());
        all.extend(self.lease.as_ref().and_then(|lease| lease.living().ok()).unwrap_or_default());
        all.into_iter().map(|who| self.participant(who)).collect()
    }

    fn participant(&self, identity: Identity) -> ParticipantReport {
        let path = self.directory.participant_path(identity);
        let files = [file_report(&path), file_report(&self.directory.bells_path(identity))];
        let (graph, problem) = match graph_file::read(&path, identity) {
            Ok((_, graph)) => (Some(graph), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let alive = self.is_alive(identity);
        let inode = self.lease.as_ref().map(|lease| lease.device_and_inode().1).filter(|_| alive == Some(true));
        ParticipantReport {
            identity,
            alive,
            processes: inode.map(|inode| self.holders.of(inode, u64::from(identity.index()))).unwrap_or_default(),
            // The bells are made once; the other file is made anew when it is damaged.
            since: files.iter().flatten().filter_map(|file| file.since).min(),
            user: files.iter().flatten().map(|file| file.user).next(),
            graph,
            problem,
            bytes: files.iter().flatten().map(|file| file.bytes).sum(),
        }
    }

    fn topic(&self, topic: &TopicStem) -> Option<TopicReport> {
        let path = by_either_name(self.directory.topic_path(topic));
        let file = file_report(&path)?;
        let opened = shm_file::open(&path, Access::ReadOnly);
        let open = opened.as_ref().map(|file| ofd_lock::is_locked_by_another(file, 0, 1).unwrap_or(true));
        let inode = opened.as_ref().ok().and_then(|file| file.metadata().ok()).map(|meta| meta.ino());
        let mut report = TopicReport {
            file,
            open: open.unwrap_or(false),
            processes: inode.map(|inode| self.holders.of(inode, 0)).unwrap_or_default(),
            problem: None,
            name: String::new(),
            type_name: String::new(),
            capacity: 0,
            published: 0,
            domains: Vec::new(),
            publishers: Vec::new(),
            subscriptions: Vec::new(),
            copiers: Vec::new(),
        };
        match opened.and_then(|file| copy_of(&file, &path)) {
            Ok(layout) => self.describe(&layout, &mut report),
            Err(error) => report.problem = Some(error.to_string()),
        }
        Some(report)
    }

    fn describe(&self, layout: &TopicLayout, report: &mut TopicReport) {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if let Some((name, type_name)) = layout.names() {
            (report.name, report.type_name) = (text(name), text(type_name));
        }
        let head = layout.hot().head.load(Ordering::Relaxed);
        report.capacity = layout.capacity();
        report.published = head.saturating_sub(RingView::first_sequence(report.capacity).0);
        report.domains = domains(layout);
        let memory = |row: u32| layout.domain(u8::try_from(row).ok()?);
        for record in layout.publishers() {
            let owner = match Owner::from_word(record.owner.load(Ordering::Relaxed)) {
                Owner::Free => continue,
                Owner::Orphan => None,
                Owner::Participant(owner) => Some(owner),
            };
            let counters = PublisherCounters::of(record);
            let copies = record.flags.load(Ordering::Relaxed) & COPIER != 0;
            let domain = record.domain.load(Ordering::Relaxed);
            let list = if copies { &mut report.copiers } else { &mut report.publishers };
            list.push(EndpointReport {
                owner,
                alive: owner.map_or(Some(false), |owner| self.is_alive(owner)),
                gid: record.gid(),
                domain,
                memory: memory(domain),
                messages: counters.messages,
                dropped_or_held: counters.dropped,
                counters: if copies { EndpointCounters::Copier } else { EndpointCounters::Publisher(counters) },
            });
        }
        for record in layout.subscriptions() {
            let Owner::Participant(owner) = Owner::from_word(record.owner.load(Ordering::Relaxed)) else { continue };
            if record.state.load(Ordering::Relaxed) != ACTIVE {
                continue;
            }
            let behind = head.saturating_sub(record.cursor.load(Ordering::Relaxed));
            let held = record.held.iter().filter(|word| word.load(Ordering::Relaxed) != 0).count();
            let [low, high] = &record.gid;
            let domain = record.domain.load(Ordering::Relaxed);
            report.subscriptions.push(EndpointReport {
                owner: Some(owner),
                alive: self.is_alive(owner),
                gid: crate::ids::Gid::from_words([low.load(Ordering::Relaxed), high.load(Ordering::Relaxed)]),
                domain,
                memory: memory(domain),
                counters: EndpointCounters::Subscription(SubscriptionCounters::of(record)),
                messages: behind.min(u64::from(record.depth.load(Ordering::Relaxed))),
                dropped_or_held: held as u64,
            });
        }
    }

    fn segments(&self) -> Vec<SegmentReport> {
        let mut segments: Vec<SegmentReport> = Vec::new();
        for (id, owner, topic) in self.directory.payload_segments().unwrap_or_default() {
            let Some(file) = file_report(&by_either_name(self.directory.payload_path(id, owner, &topic))) else {
                continue;
            };
            let owner = match Owner::from_word(owner) {
                Owner::Participant(owner) => Some(owner),
                _ => None,
            };
            let state = match owner.map(|owner| self.is_alive(owner)) {
                Some(Some(true) | None) => SegmentState::InUse,
                _ if self.is_named(&topic, id.0) => SegmentState::Unread,
                _ => SegmentState::Leftover,
            };
            segments.push(SegmentReport { file, id, topic: topic.as_str().to_owned(), owner, state });
        }
        segments.sort_by(|one, other| (&one.topic, one.id).cmp(&(&other.topic, other.id)));
        segments
    }

    /// Whether a topic that somebody has open names a segment.
    fn is_named(&self, topic: &TopicStem, id: u64) -> bool {
        let path = by_either_name(self.directory.topic_path(topic));
        let Ok(file) = shm_file::open(&path, Access::ReadOnly) else { return false };
        if !ofd_lock::is_locked_by_another(&file, 0, 1).unwrap_or(true) {
            return false;
        }
        // What cannot be read is not said to be free.
        copy_of(&file, &path).map_or(true, |layout| {
            let named =
                layout.publishers().iter().flat_map(|record| record.segments.iter().chain(&record.device_segments));
            named.into_iter().any(|named| named.load(Ordering::Relaxed) == id)
        })
    }

    /// Bytes of everything, and what is none of ours.
    fn all_files(
        &self,
        participants: &[ParticipantReport],
        topics: &[TopicReport],
        segments: &[SegmentReport],
    ) -> (u64, Vec<FileReport>) {
        let mut known: HashSet<PathBuf> = HashSet::from([self.directory.lease_path()]);
        for participant in participants {
            known.insert(self.directory.participant_path(participant.identity));
            known.insert(self.directory.bells_path(participant.identity));
        }
        known.extend(topics.iter().map(|topic| topic.file.path.clone()));
        known.extend(segments.iter().map(|segment| segment.file.path.clone()));
        let (mut bytes, mut foreign, mut seen) = (0, Vec::new(), HashSet::new());
        // The second names come last: they count where they are the only ones.
        let mut folders: Vec<PathBuf> = self.directory.trusted_kept_path().into_iter().collect();
        folders.push(self.directory.path().to_path_buf());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                if meta.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                if !seen.insert(meta.ino()) {
                    continue;
                }
                bytes += meta.blocks() * 512;
                if !known.contains(&entry.path()) {
                    foreign.push(describe(entry.path(), &meta));
                }
            }
        }
        foreign.sort_by(|one, other| one.path.cmp(&other.path));
        (bytes, foreign)
    }
}

/// What was copied into which memory domain.
fn domains(layout: &TopicLayout) -> Vec<DomainReport> {
    let report = |(row, record): (usize, &DomainRecord)| {
        let domain = layout.domain(row as u8)?;
        let [copies, bytes] = [&record.copies, &record.bytes].map(|count| count.load(Ordering::Relaxed));
        Some(DomainReport { domain, copies, bytes })
    };
    layout.domains().iter().enumerate().filter_map(report).collect()
}

/// The first name of a file, or its second one where that is the only one.
fn by_either_name(first: PathBuf) -> PathBuf {
    match fs::symlink_metadata(&first) {
        Ok(_) => first,
        Err(_) => kept_name(&first).unwrap_or(first),
    }
}

fn file_report(path: &Path) -> Option<FileReport> {
    fs::symlink_metadata(path).ok().map(|meta| describe(path.to_path_buf(), &meta))
}

fn describe(path: PathBuf, meta: &Metadata) -> FileReport {
    let since = meta.created().or(meta.modified()).ok();
    FileReport { path, bytes: meta.blocks() * 512, user: meta.uid(), since }
}

/// A topic file's bytes as they are now, in memory of our own: nobody can cut it short while it is read.
fn copy_of(file: &File, path: &Path) -> Result<TopicLayout, FileError> {
    let fail = |error| FileError::from_io(path, 0, error);
    let corrupt = |what| FileError::Corrupt { path: path.to_path_buf(), what };
    let most = layout::file_size(crate::queue::History::MAX_CAPACITY);
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(corrupt("longer than any topic file"));
    }
    let mut copy = File::from(memfd_create("hazcat-topic", MFdFlags::MFD_CLOEXEC).map_err(|errno| fail(errno.into()))?);
    copy.write_all(&bytes).map_err(fail)?;
    let mapping = shm_file::map_checked(&copy, path, Access::ReadOnly, layout::MAGIC, layout::VERSION, false)?;
    TopicLayout::new(mapping).ok_or_else(|| corrupt("capacity and length disagree"))
}
