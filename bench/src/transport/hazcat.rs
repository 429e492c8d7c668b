//! hazcat_core: one publisher and keep-last subscriptions of depth one, the smallest there is, as for iceoryx2. Blocking jobs
//! sleep in a wait set that does not spin first.

use std::sync::Arc;
use std::time::Duration;

use hazcat_core::{
    Config, Gid, History, MessageMeta, Participant, Publisher, PublisherOptions, Subscription, SubscriptionOptions,
    TopicKey, WaitSet,
};

use super::{Failure, Private, Receiver, Sender, Transport};
use crate::scenario::{Job, Payload, Role, Waiting};
use crate::shared_page::{Direction, SharedPage};
use crate::traces;

/// A participant of hazcat_core, in a directory of this run's own.
pub struct Hazcat {
    participant: Arc<Participant>,
    job: Job,
    role: Role,
}

impl Transport for Hazcat {
    type Sender = HazcatSender;
    type Receiver = HazcatReceiver;

    fn open(job: &Job, role: Role, _page: &'static SharedPage) -> Result<Self, Failure> {
        let config = Config { root: traces::hazcat_root(), ..Config::default() };
        Ok(Self { participant: Participant::join(&config)?, job: job.clone(), role })
    }

    fn sender(&self, direction: Direction) -> Result<HazcatSender, Failure> {
        let options = PublisherOptions {
            gid: Gid::new(self.participant.identity(), 1 + self.role as u64),
            history: History::KeepLast(1),
            expected_size: self.job.size,
            ..PublisherOptions::default()
        };
        Ok(HazcatSender {
            publisher: Publisher::new(&self.participant, &topic(direction), options)?,
            private: Private::new(self.job.size),
            payload: self.job.payload(),
            size: self.job.size,
        })
    }

    fn receiver(&self, direction: Direction) -> Result<HazcatReceiver, Failure> {
        let options = SubscriptionOptions { history: History::KeepLast(1), ..SubscriptionOptions::default() };
        let subscription = Subscription::new(&self.participant, &topic(direction), options)?;
        let wait_set = match self.job.waiting() {
            Waiting::Polling => None,
            Waiting::Blocking => {
                let mut wait_set = WaitSet::new(&self.participant)?;
                wait_set.set_spin(Duration::ZERO);
                Some(wait_set)
            }
        };
        Ok(HazcatReceiver { subscription, wait_set, private: Private::new(self.job.size), payload: self.job.payload() })
    }
}

fn topic(direction: Direction) -> TopicKey {
    TopicKey { name: format!("bench/{direction:?}"), type_name: "bytes".to_owned(), type_hash: 0 }
}

/// A publisher of hazcat_core.
pub struct HazcatSender {
    publisher: Publisher,
    private: Private,
    payload: Payload,
    size: usize,
}

impl Sender for HazcatSender {
    #[inline(always)]
    fn send(&mut self, counter: u64) -> Result<(), Failure> {
        let mut loan = self.publisher.loan(self.size)?;
        self.private.fill(self.payload, counter, &mut loan)?;
        self.publisher.publish(loan, &MessageMeta::default())?;
        Ok(())
    }
}

/// A subscription of hazcat_core.
pub struct HazcatReceiver {
    subscription: Subscription,
    wait_set: Option<WaitSet>,
    private: Private,
    payload: Payload,
}

impl Receiver for HazcatReceiver {
    #[inline(always)]
    fn try_receive(&mut self) -> Result<Option<u64>, Failure> {
        match self.subscription.take()? {
            None => Ok(None),
            Some(sample) => self.private.read(self.payload, || &sample).map(Some),
        }
    }

    #[inline(always)]
    fn sleep(&mut self) -> Result<(), Failure> {
        let wait_set = self.wait_set.as_ref().ok_or("a polling receiver cannot sleep")?;
        wait_set.wait(&[&self.subscription], Some(Duration::from_millis(100)))?;
        Ok(())
    }
}
