//! iceoryx2, set up as its own benchmark sets it up: one publisher, as many subscribers as there are, a buffer of one
//! message, no history, overflow by dropping the oldest. Blocking jobs wake through its event service, without a wait set
//! (which would cost it two more system calls).
//!
//! Its own benchmark loans the next message before the answer to the last one arrives, so that the loan is not in its
//! latency; here it is, as for every system.

use std::time::Duration;

use iceoryx2::config::Config;
use iceoryx2::port::{listener::Listener, notifier::Notifier, publisher::Publisher, subscriber::Subscriber};
use iceoryx2::prelude::*;

use super::{Failure, Private, Receiver, Sender, Transport};
use crate::scenario::{Job, Payload, Role, Waiting};
use crate::shared_page::{Direction, SharedPage};
use crate::traces;

/// Version that Cargo.lock names, for the record.
pub fn version() -> String {
    include_str!("../../Cargo.lock")
        .split("[[package]]")
        .find(|package| package.contains("name = \"iceoryx2\"\n"))
        .and_then(|package| package.split("version = \"").nth(1)?.split('"').next())
        .unwrap_or("unknown")
        .to_owned()
}

/// A node of iceoryx2.
pub struct Iceoryx {
    node: Node<ipc::Service>,
    job: Job,
}

impl Transport for Iceoryx {
    type Sender = IceoryxSender;
    type Receiver = IceoryxReceiver;

    fn open(job: &Job, role: Role, _page: &'static SharedPage) -> Result<Self, Failure> {
        set_log_level(LogLevel::Error);
        let mut config = Config::default();
        config.global.prefix = FileName::new(traces::prefix().as_bytes()).map_err(show)?;
        let name = format!("{role:?}");
        let node = NodeBuilder::new()
            .name(&NodeName::new(&name).map_err(show)?)
            .config(&config)
            .signal_handling_mode(SignalHandlingMode::Disabled)
            .create::<ipc::Service>()
            .map_err(show)?;
        Ok(Self { node, job: job.clone() })
    }

    fn sender(&self, direction: Direction) -> Result<IceoryxSender, Failure> {
        let service = self
            .node
            .service_builder(&service_name(direction)?)
            .publish_subscribe::<[u8]>()
            .payload_alignment(Alignment::new(64).ok_or("alignment")?)
            .max_publishers(1)
            .max_subscribers(self.job.subscriptions())
            .history_size(0)
            .subscriber_max_buffer_size(1)
            .enable_safe_overflow(true)
            .open_or_create()
            .map_err(show)?;
        let publisher = service.publisher_builder().initial_max_slice_len(self.job.size).create().map_err(show)?;
        let notifier = match self.job.waiting() {
            Waiting::Polling => None,
            Waiting::Blocking => Some(self.event(direction)?.notifier_builder().create().map_err(show)?),
        };
        Ok(IceoryxSender {
            publisher,
            notifier,
            private: Private::new(self.job.size),
            payload: self.job.payload(),
            size: self.job.size,
        })
    }

    fn receiver(&self, direction: Direction) -> Result<IceoryxReceiver, Failure> {
        let service = self
            .node
            .service_builder(&service_name(direction)?)
            .publish_subscribe::<[u8]>()
            .payload_alignment(Alignment::new(64).ok_or("alignment")?)
            .max_publishers(1)
            .max_subscribers(self.job.subscriptions())
            .history_size(0)
            .subscriber_max_buffer_size(1)
            .enable_safe_overflow(true)
            .open_or_create()
            .map_err(show)?;
        let subscriber = service.subscriber_builder().create().map_err(show)?;
        let listener = match self.job.waiting() {
            Waiting::Polling => None,
            Waiting::Blocking => Some(self.event(direction)?.listener_builder().create().map_err(show)?),
        };
        Ok(IceoryxReceiver { subscriber, listener, private: Private::new(self.job.size), payload: self.job.payload() })
    }
}

impl Iceoryx {
    fn event(
        &self,
        direction: Direction,
    ) -> Result<iceoryx2::service::port_factory::event::PortFactory<ipc::Service>, Failure> {
        self.node
            .service_builder(&service_name(direction)?)
            .event()
            .max_notifiers(1)
            .max_listeners(1)
            .open_or_create()
            .map_err(show)
    }
}

fn service_name(direction: Direction) -> Result<ServiceName, Failure> {
    ServiceName::new(&format!("bench/{direction:?}")).map_err(show)
}

fn show(error: impl std::fmt::Debug) -> Failure {
    format!("iceoryx2: {error:?}").into()
}

/// A publisher of iceoryx2.
pub struct IceoryxSender {
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    private: Private,
    payload: Payload,
    size: usize,
}

impl Sender for IceoryxSender {
    #[inline(always)]
    fn send(&mut self, counter: u64) -> Result<(), Failure> {
        let loan = self.publisher.loan_slice_uninit(self.size).map_err(show)?;
        // SAFETY: the payload is bytes in shared memory that has been written before (its pages read as zero at least); no
        // bit pattern of a byte is invalid, and no uninitialised memory of this program is behind it.
        let mut loan = unsafe { loan.assume_init() };
        self.private.fill(self.payload, counter, loan.payload_mut())?;
        loan.send().map_err(show)?;
        if let Some(notifier) = &self.notifier {
            notifier.notify().map_err(show)?;
        }
        Ok(())
    }
}

/// A subscriber of iceoryx2.
pub struct IceoryxReceiver {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Option<Listener<ipc::Service>>,
    private: Private,
    payload: Payload,
}

impl Receiver for IceoryxReceiver {
    #[inline(always)]
    fn try_receive(&mut self) -> Result<Option<u64>, Failure> {
        match self.subscriber.receive().map_err(show)? {
            None => Ok(None),
            Some(sample) => self.private.read(self.payload, || sample.payload()).map(Some),
        }
    }

    #[inline(always)]
    fn sleep(&mut self) -> Result<(), Failure> {
        let listener = self.listener.as_ref().ok_or("a polling receiver cannot sleep")?;
        listener.timed_wait(|_| {}, Duration::from_millis(100)).map_err(show)?;
        Ok(())
    }
}
