//! How a subscription is to be.

use super::FilterFn;
use crate::domain::DomainId;
use crate::ids::Gid;
use crate::queue::publisher::PublisherOptions;
use crate::queue::{History, PublisherInfo};

/// Decides once per publisher whether a subscription listens to it.
pub type AcceptFn = Box<dyn Fn(&PublisherInfo) -> bool + Send + Sync>;

/// How a subscription is to be.
pub struct SubscriptionOptions {
    /// Its gid.
    pub gid: Gid,
    /// How many unread messages it keeps.
    pub history: History,
    /// Whether it gets the past of transient-local publishers.
    pub transient_local: bool,
    /// A word that publishers see when they decide whether to wait for it; the core does not interpret it.
    pub traits: u64,
    /// Which publishers it listens to. Messages of others do not use up its depth.
    pub accept: AcceptFn,
    /// Which of their messages it wants; `None`: all. See [`set_filter`](super::Subscription::set_filter).
    pub filter: Option<FilterFn>,
    /// The memory domain in which it wants its messages.
    pub domain: DomainId,
    /// Most bytes of copies of messages that lie in other domains.
    pub copy_budget: usize,
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        Self {
            gid: Gid::default(),
            history: History::KeepLast(10),
            transient_local: false,
            traits: 0,
            accept: Box::new(|_| true),
            filter: None,
            domain: DomainId::HOST,
            copy_budget: PublisherOptions::DEFAULT_BUDGET,
        }
    }
}
