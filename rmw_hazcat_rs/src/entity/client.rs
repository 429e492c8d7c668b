//! Clients of services.
//!
//! A client publishes requests on the service's request topic and receives replies on a topic of its own, so that the
//! replies to others neither wake it nor use up its queue. A request's number is its number among this client's
//! publications; the reply carries it back.

use std::ffi::c_void;
use std::sync::Arc;

use hazcat_core::graph::{EndpointKind, EndpointRecord};
use hazcat_core::wait::LocalBell;
use hazcat_core::{Gid, MessageMeta, PublisherInfo, PublisherOptions, SubscriptionOptions, TopicKey, Waitable};

use super::arriving::{Arriving, Presence};
use super::context::Context;
use super::events::{incompatibility, Side};
use super::node::Node;
use super::publisher::{expected_size, loan_failure};
use crate::arrivals::ArrivalWatch;
use crate::attributes::Attributes;
use crate::clock;
use crate::encoding;
use crate::error::{Context as _, Result};
use crate::ffi;
use crate::mangle::Channel;
use crate::qos::{Durability, Qos, Traits};
use crate::typesupport::{MessageType, ServiceType};

/// A client.
pub struct Client {
    /// First, so that the graph forgets it before it is gone.
    presence: Presence,
    watch: Arc<ArrivalWatch>,
    requests: hazcat_core::Publisher,
    replies: Arc<hazcat_core::Subscription>,
    kind: Arc<ServiceType>,
    attributes: Attributes,
    service: String,
    context: Arc<Context>,
}

/// What comes with a request or a reply.
#[derive(Clone, Copy, Debug)]
pub struct ServiceInfo {
    /// When it was sent, in nanoseconds since the epoch.
    pub source_timestamp: i64,
    /// When it was taken.
    pub received_timestamp: i64,
    /// The client that asked.
    pub client: Gid,
    /// The number of its request.
    pub number: i64,
}

impl ServiceInfo {
    /// As the C interface has it.
    pub fn to_ffi(self) -> ffi::rmw_service_info_t {
        ffi::rmw_service_info_t {
            source_timestamp: self.source_timestamp,
            received_timestamp: self.received_timestamp,
            request_id: request_id_to_ffi(self.client, self.number),
        }
    }
}

fn request_id_to_ffi(client: Gid, number: i64) -> ffi::rmw_request_id_t {
    let mut id = ffi::rmw_request_id_t { sequence_number: number, ..ffi::rmw_request_id_t::default() };
    for (to, from) in id.writer_guid.iter_mut().zip(client.0) {
        // Signed bytes at Humble's level, unsigned later.
        *to = from as _;
    }
    id
}

/// The topic that the requests of a service travel on.
pub fn request_key(service: &str, kind: &ServiceType, qos: &Qos) -> TopicKey {
    key(Channel::Request.mangle(service, qos.avoid_ros_namespace_conventions), kind.request())
}

/// The topic that the replies to one client travel on.
pub fn reply_key(service: &str, kind: &ServiceType, qos: &Qos, client: Gid) -> TopicKey {
    let name = Channel::Reply.mangle(service, qos.avoid_ros_namespace_conventions);
    key(format!("{name}/{client:?}"), kind.response())
}

fn key(name: String, kind: &MessageType) -> TopicKey {
    TopicKey { name, type_name: kind.ros_name().to_owned(), type_hash: u128::from(kind.structural_hash()) }
}

/// How the publisher of requests or replies is to be.
pub fn publisher_options(gid: Gid, kind: &MessageType, qos: &Qos) -> PublisherOptions {
    PublisherOptions {
        gid,
        traits: qos.traits().0,
        history: qos.queue_history(),
        waits_for: |own, subscription| Traits(own).waits_for(Traits(subscription)),
        transient_local: qos.durability == Durability::TransientLocal,
        expected_size: expected_size(kind),
        ..PublisherOptions::default()
    }
}

/// How the queue of requests or replies is to be.
pub fn subscription_options(gid: Gid, qos: &Qos) -> SubscriptionOptions {
    let wanted = qos.traits();
    SubscriptionOptions {
        gid,
        traits: wanted.0,
        history: qos.queue_history(),
        transient_local: qos.durability == Durability::TransientLocal,
        accept: Box::new(move |publisher: &PublisherInfo| Traits(publisher.traits).incompatibility(wanted).is_none()),
        ..SubscriptionOptions::default()
    }
}

impl Client {
    /// Joins the request topic and its own reply topic, then shows itself in the graph.
    pub fn new(node: &Node, service: &str, kind: Arc<ServiceType>, qos: Qos) -> Result<Arc<Self>> {
        let context = node.context();
        let gid = context.new_gid();
        let subject = || format!("cannot create a client of service '{service}'");
        let replies = hazcat_core::Subscription::new(
            context.participant(),
            &reply_key(service, &kind, &qos, gid),
            subscription_options(gid, &qos),
        )
        .or_error(subject)?;
        let requests = hazcat_core::Publisher::new(
            context.participant(),
            &request_key(service, &kind, &qos),
            publisher_options(gid, kind.request(), &qos),
        )
        .or_error(subject)?;
        let replies = Arc::new(replies);
        let attributes = service_attributes(&kind, qos);
        let announced = context.announce(EndpointRecord {
            kind: EndpointKind::Client,
            node: node.id().0,
            gid: gid.0,
            name: service.to_owned(),
            type_name: kind.ros_name().to_owned(),
            attributes: attributes.encode(),
        })?;
        let client = Arc::new(Self {
            presence: Presence::new(announced),
            watch: ArrivalWatch::new(&replies, u64::MAX),
            requests,
            replies,
            kind,
            attributes,
            service: service.to_owned(),
            context: Arc::clone(context),
        });
        node.add_member(&client);
        Ok(client)
    }

    /// Its gid, which is that of its requests.
    pub fn gid(&self) -> Gid {
        self.requests.gid()
    }

    /// Its service's name.
    pub fn name(&self) -> &str {
        &self.service
    }

    /// Its QoS in both directions.
    pub fn qos(&self) -> &Qos {
        &self.attributes.qos
    }

    fn subject(&self) -> String {
        format!("service '{}'", self.service)
    }

    /// Calls back when replies arrive.
    pub fn set_callback(&self, callback: ffi::rmw_event_callback_t, user_data: *const c_void) {
        self.watch.set_callback(self.context.dispatcher(), callback, user_data);
    }

    /// Whether a server of this service can be reached.
    pub fn is_server_available(&self) -> bool {
        let snapshot = self.context.snapshot();
        let found = snapshot.endpoints_of(EndpointKind::Server, &self.service).any(|server| {
            server.record.type_name == self.kind.ros_name()
                && Attributes::decode(&server.record.attributes).is_some_and(|theirs| self.fits(&theirs))
        });
        found
    }

    /// Whether requests reach a server with these attributes and its replies come back.
    fn fits(&self, server: &Attributes) -> bool {
        let (own, theirs) = (self.attributes.traits(), server.traits());
        server.structure == self.attributes.structure
            && server.qos.avoid_ros_namespace_conventions == self.qos().avoid_ros_namespace_conventions
            && incompatibility(Side::Publisher, own, theirs).is_none()
            && incompatibility(Side::Subscription, own, theirs).is_none()
    }

    /// Sends a request; answers its number.
    ///
    /// # Safety
    /// `request` points to an initialised request of this service's type, which nobody changes meanwhile.
    pub unsafe fn send(&self, request: *const c_void) -> Result<i64> {
        // A request answers nothing, so the place of the correlation holds when it expires, as on a topic.
        let expiry = self.qos().expiry();
        // SAFETY: forwarded from the caller.
        let published = unsafe { send(&self.requests, self.kind.request(), request, expiry) };
        published.map(|sent| sent.number).map_err(|failure| failure.about(self.subject()))
    }

    /// Takes the next reply into `response`.
    ///
    /// # Safety
    /// `response` points to an initialised response of this service's type that nobody else uses.
    pub unsafe fn take(&self, response: *mut c_void) -> Result<Option<ServiceInfo>> {
        let Some(sample) = self.replies.take().or_error(|| self.subject())? else { return Ok(None) };
        let info = sample.info();
        // SAFETY: forwarded from the caller.
        unsafe { encoding::read(self.kind.response(), info.encoding, &sample, response) }
            .map_err(|failure| failure.about(self.subject()))?;
        Ok(Some(ServiceInfo {
            source_timestamp: info.source_timestamp,
            received_timestamp: clock::now_nanos(),
            client: self.gid(),
            number: info.correlation,
        }))
    }
}

/// The attributes of a client or server.
pub fn service_attributes(kind: &ServiceType, qos: Qos) -> Attributes {
    Attributes { qos, ignore_local: false, structure: kind.structural_hash(), type_hash: kind.type_hash() }
}

/// A request or reply that was sent.
pub struct Sent {
    /// Its number among the publisher's own.
    pub number: i64,
    /// Its size.
    pub bytes: usize,
}

/// Publishes a request or reply.
///
/// # Safety
/// `message` points to an initialised message of type `kind`, which nobody changes meanwhile.
pub unsafe fn send(
    publisher: &hazcat_core::Publisher,
    kind: &MessageType,
    message: *const c_void,
    correlation: i64,
) -> Result<Sent> {
    // SAFETY: forwarded from the caller.
    let (size, encoding) = unsafe { encoding::size(kind, message) }?;
    let mut loan = publisher.loan(size).map_err(|error| loan_failure(&error))?;
    // SAFETY: forwarded from the caller; the chunk is as large as was asked for.
    unsafe { encoding::write(kind, message, &mut loan) }?;
    let meta = MessageMeta { encoding, source_timestamp: clock::now_nanos(), correlation };
    let published = publisher.publish(loan, &meta).or_error(|| "cannot send".to_owned())?;
    Ok(Sent { number: i64::try_from(published.number.0).unwrap_or(i64::MAX), bytes: size })
}

impl Drop for Client {
    fn drop(&mut self) {
        self.watch.deactivate(self.context.dispatcher());
    }
}

impl Arriving for Client {
    fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn watch(&self) -> &Arc<ArrivalWatch> {
        &self.watch
    }

    fn presence(&self) -> &Presence {
        &self.presence
    }
}

/// Ready while there is a reply, and when it is retired.
impl Waitable for Client {
    fn is_ready(&self) -> bool {
        self.presence.has_ended() || self.replies.has_data()
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        self.replies.arm(bell);
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        self.replies.disarm(bell);
    }
}
