//! Publishers.

use std::ffi::c_void;
use std::sync::Arc;

use hazcat_core::graph::{EndpointKind, EndpointRecord};
use hazcat_core::queue::Passage;
use hazcat_core::{Gid, LoanError, MessageMeta, PublishError, PublisherOptions, TopicKey};

use super::context::{Announced, Context};
use super::depth;
use super::device::DeviceUse;
use super::device_loans;
use super::events::{EndpointEvents, Matchable, Side, Source};
use super::loan::{GivenLoan, LoanBook, PrivateMessage};
use super::node::Node;
use super::pulse::Pulse;
use crate::attributes::Attributes;
use crate::clock;
use crate::encoding;
use crate::error::{Code, Context as _, Failure, Result};
use crate::mangle::Channel;
use crate::preference::{self, payload::Payload};
use crate::qos::{Durability, Qos, Traits};
use crate::typesupport::MessageType;

/// A publisher. What it lent out and nobody returned goes back with it.
pub struct Publisher {
    /// First, so that the graph forgets it before it is gone.
    _announced: Announced,
    events: Arc<EndpointEvents>,
    pub(super) core: Arc<hazcat_core::Publisher>,
    /// `None`: its messages lie on the host.
    pub(super) device: Option<DeviceUse>,
    /// What it has to show with every message, if anything.
    pulse: Option<Pulse>,
    pub(super) loans: LoanBook<GivenLoan>,
    pub(super) kind: Arc<MessageType>,
    qos: Qos,
    topic: String,
    context: Arc<Context>,
}

/// Payloads up to this many bytes are expected to be as long as the type allows.
const BOUNDED_EXPECTATION: usize = 64 << 10;

/// The failure that a refused loan is.
pub fn loan_failure(error: &LoanError) -> Failure {
    let code = match error {
        LoanError::Exhausted { .. }
        | LoanError::TooLarge { .. }
        | LoanError::System { .. }
        | LoanError::Device { .. } => Code::BadAlloc,
        LoanError::NotOnDevice { .. } => Code::Unsupported,
        LoanError::Forked { .. } | LoanError::ShutDown { .. } => Code::Error,
    };
    Failure::new(code, error.to_string())
}

/// Bytes that a message of this type is expected to take in a chunk; zero if nobody knows.
pub fn expected_size(kind: &MessageType) -> usize {
    if kind.is_plain() {
        return kind.size_of();
    }
    kind.max_serialized_size()
        .filter(|size| *size <= BOUNDED_EXPECTATION)
        .map_or(0, |size| encoding::CDR_PADDING + size)
}

impl Publisher {
    /// Joins the topic, then shows itself in the graph.
    pub fn new(
        node: &Node,
        topic: &str,
        kind: Arc<MessageType>,
        qos: Qos,
        payload: Option<&Payload>,
    ) -> Result<Arc<Self>> {
        let context = node.context();
        let choice = super::device::choose(node, preference::Side::Publisher, topic, &kind, payload)?;
        let gid = context.new_gid();
        let key = topic_key(topic, &kind, &qos);
        let options = PublisherOptions {
            gid,
            traits: qos.traits().0,
            history: qos.queue_history(),
            waits_for: |own, subscription| Traits(own).waits_for(Traits(subscription)),
            transient_local: qos.durability == Durability::TransientLocal,
            expected_size: expected_size(&kind),
            domain: choice.domain,
            ..PublisherOptions::default()
        };
        let core = hazcat_core::Publisher::new(context.participant(), &key, options)
            .or_error(|| format!("cannot create a publisher on topic '{topic}'"))?;
        let core = Arc::new(core);
        // What a publisher keeps matters only to late subscriptions.
        let qos = match qos.durability {
            Durability::TransientLocal => {
                let who = format!("the publisher on topic '{topic}'");
                depth::fitted(qos, core.topic().layout().capacity(), &who)
            }
            Durability::Volatile => qos,
        };
        let attributes =
            Attributes { qos, ignore_local: false, structure: kind.structural_hash(), type_hash: kind.type_hash() };
        let pulse = Pulse::begin(&core, &qos);
        let own = Matchable {
            side: Side::Publisher,
            owner: context.participant().identity(),
            topic: topic.to_owned(),
            type_name: kind.ros_name().to_owned(),
            attributes,
        };
        let announced = context.announce(EndpointRecord {
            kind: EndpointKind::Publisher,
            node: node.id().0,
            gid: gid.0,
            name: topic.to_owned(),
            type_name: kind.ros_name().to_owned(),
            attributes: attributes.encode(),
        })?;
        let events = EndpointEvents::new(own, Source::Publisher(Arc::downgrade(&core)), context.dispatcher())?;
        Ok(Arc::new(Self {
            _announced: announced,
            events,
            core,
            device: DeviceUse::of(&choice),
            pulse,
            loans: LoanBook::new(),
            kind,
            qos,
            topic: topic.to_owned(),
            context: Arc::clone(context),
        }))
    }

    /// The context it was made in.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Its topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its message type.
    pub fn kind(&self) -> &Arc<MessageType> {
        &self.kind
    }

    /// Its gid.
    pub fn gid(&self) -> Gid {
        self.core.gid()
    }

    /// Its QoS.
    pub fn qos(&self) -> &Qos {
        &self.qos
    }

    /// Its events.
    pub fn events(&self) -> &Arc<EndpointEvents> {
        &self.events
    }

    /// Whether messages of its type can be written in shared memory directly.
    pub fn can_loan(&self) -> bool {
        self.kind.is_plain()
    }

    /// How many subscriptions match.
    pub fn count_matched(&self) -> usize {
        self.events.count_matched(self.context.graph())
    }

    pub(super) fn meta(&self, encoding: u32) -> MessageMeta {
        // On a topic nothing is answered, so the place of the correlation holds when the message expires.
        MessageMeta { encoding, source_timestamp: clock::now_nanos(), correlation: self.qos.expiry() }
    }

    #[inline]
    pub(super) fn show_publication(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.published(&self.core);
        }
    }

    /// Shows that it is alive, where that is not shown for it.
    pub fn assert_liveliness(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.asserted(&self.core);
        }
    }

    pub(super) fn subject(&self) -> String {
        format!("topic '{}'", self.topic)
    }

    /// Publishes a message: as it is if it is plain, serialized straight into shared memory otherwise; copied to the device by
    /// a publisher on one.
    ///
    /// # Safety
    /// `message` points to an initialised message of this publisher's type, which nobody changes meanwhile.
    pub unsafe fn publish(&self, message: *const c_void) -> Result<()> {
        if self.device.is_some() {
            // SAFETY: forwarded from the caller.
            return unsafe { self.publish_on_device(message) };
        }
        // SAFETY: forwarded from the caller.
        let (size, encoding) = unsafe { encoding::size(&self.kind, message) }.map_err(|f| f.about(self.subject()))?;
        self.write_and_publish(size, encoding, |loan| {
            // SAFETY: forwarded from the caller; the chunk is as large as was asked for.
            unsafe { encoding::write(&self.kind, message, loan) }.map(drop).map_err(|f| f.about(self.subject()))
        })?;
        self.core.count_copied_in(encoding::passage(encoding), size);
        self.show_publication();
        Ok(())
    }

    /// Has `write` fill a chunk and publishes it.
    fn write_and_publish(
        &self,
        size: usize,
        encoding: u32,
        mut write: impl FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut is_first = true;
        loop {
            let mut loan = self.core.loan(size).map_err(|error| loan_failure(&error))?;
            write(&mut loan)?;
            match self.core.publish(loan, &self.meta(encoding)) {
                // Somebody cut the file of the chunk while it was written: the next one has a file of its own.
                Err(PublishError::Cut { .. }) if std::mem::take(&mut is_first) => {}
                published => return published.map(drop).or_error(|| self.subject()),
            }
        }
    }

    /// Publishes a message that is serialized already. One of a plain type is decoded first, so that it can lie in any memory
    /// and be lent to subscriptions; unless it cannot be decoded, which is for them to find out.
    pub fn publish_serialized(&self, stream: &[u8]) -> Result<()> {
        if self.kind.is_plain() && self.publish_decoded(stream)? {
            return Ok(());
        }
        self.write_and_publish(encoding::CDR_PADDING + stream.len(), encoding::CDR, |loan| {
            let Some((padding, rest)) = loan.split_at_mut_checked(encoding::CDR_PADDING) else {
                return Err(Failure::error("a loan is shorter than asked for").about(self.subject()));
            };
            padding.fill(0);
            rest.copy_from_slice(stream);
            Ok(())
        })?;
        self.core.count_copied_in(Passage::Copied, encoding::CDR_PADDING + stream.len());
        self.show_publication();
        Ok(())
    }

    /// Publishes a plain message out of its serialized form; `false` if that is none.
    fn publish_decoded(&self, stream: &[u8]) -> Result<bool> {
        if self.device.is_some() {
            let message = PrivateMessage::new(&self.kind).map_err(|failure| failure.about(self.subject()))?;
            let at = message.as_ptr().as_ptr().cast::<c_void>();
            // SAFETY: a fresh message of this type.
            if unsafe { self.kind.deserialize(stream, at) }.is_err() {
                return Ok(false);
            }
            // SAFETY: as above, now with the content of the stream.
            unsafe { self.publish_on_device(at) }?;
            return Ok(true);
        }
        let size = self.kind.size_of();
        let mut loan = self.core.loan(size).map_err(|error| loan_failure(&error))?;
        // SAFETY: a plain message is initialised whatever its bytes are: decoding only writes to it. The chunk has its size and
        // alignment, and is nobody else's.
        if unsafe { self.kind.deserialize(stream, loan.as_mut_ptr().cast()) }.is_err() {
            return Ok(false);
        }
        self.core.publish(loan, &self.meta(encoding::PLAIN)).or_error(|| self.subject())?;
        self.core.count_copied_in(Passage::Serialized, size);
        self.show_publication();
        Ok(true)
    }

    /// Lends a message in shared memory, or in the memory of the publisher's device to a program that knows of it. Its content is unspecified (zeros, or an
    /// earlier message of this publisher).
    pub fn borrow_message(&self) -> Result<*mut c_void> {
        if !self.can_loan() {
            return Err(self.cannot_loan());
        }
        if let Some(device) = &self.device {
            return self.borrow_on_device(device);
        }
        let loan = self.core.loan_raw(self.kind.size_of()).map_err(|error| loan_failure(&error))?;
        Ok(self.loans.lend(loan.ptr, GivenLoan::InPlace(loan)))
    }

    /// Takes a lent message back unpublished.
    pub fn return_message(&self, message: *const c_void) -> Result<()> {
        match self.end_loan(message)? {
            GivenLoan::InPlace(loan) => self.core.return_raw(loan),
            GivenLoan::Private(message) => drop(message),
        }
        Ok(())
    }

    /// Publishes a lent message where it lies.
    pub fn publish_loaned(&self, message: *const c_void) -> Result<()> {
        let loan = match self.end_loan(message)? {
            GivenLoan::InPlace(loan) => loan,
            // SAFETY: an initialised message of this type, which its borrower has given up.
            GivenLoan::Private(message) => return unsafe { self.publish(message.as_ptr().as_ptr().cast()) },
        };
        let (length, meta) = (self.kind.size_of(), self.meta(encoding::PLAIN));
        let published = match self.device.as_ref().and_then(DeviceUse::stream) {
            None => self.core.publish_raw(loan, length, &meta),
            Some(stream) => self.core.publish_from_stream(loan, length, &meta, stream),
        };
        published.or_error(|| self.subject())?;
        self.show_publication();
        Ok(())
    }

    fn end_loan(&self, message: *const c_void) -> Result<GivenLoan> {
        if !self.can_loan() {
            return Err(self.cannot_loan());
        }
        let loan = self.loans.end(message).ok_or_else(|| {
            Failure::invalid("this message was not borrowed from this publisher, or was given back already")
                .about(self.subject())
        })?;
        if self.device.is_some() {
            device_loans::end(message);
        }
        Ok(loan)
    }

    fn cannot_loan(&self) -> Failure {
        let text = format!("type '{}' has strings or sequences and cannot be loaned", self.kind.ros_name());
        Failure::unsupported(text).about(self.subject())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Before the graph forgets it.
        self.core.note_farewell();
        for loan in self.loans.end_all() {
            if let GivenLoan::InPlace(loan) = loan {
                if self.device.is_some() {
                    device_loans::end(loan.ptr.as_ptr().cast());
                }
                self.core.return_raw(loan);
            }
        }
    }
}

/// The ring that a topic's endpoints of one type meet in.
pub fn topic_key(topic: &str, kind: &MessageType, qos: &Qos) -> TopicKey {
    TopicKey {
        name: Channel::Topic.mangle(topic, qos.avoid_ros_namespace_conventions),
        type_name: kind.ros_name().to_owned(),
        type_hash: u128::from(kind.structural_hash()),
    }
}
