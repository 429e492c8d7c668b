//! Servers of services.
//!
//! A server receives requests on the service's request topic and opens a publisher to the reply topic of each client
//! that it answers, which it closes when the client has left the graph, or does not listen any more: a client that comes, asks
//! and goes may never have been seen in the graph. Of those by which large replies went it keeps the last used ones only: each
//! has memory for two of its largest, for as long as it is open, and thirty clients may ask for the same map once.

use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, Weak};

use hazcat_core::graph::{EndpointKind, EndpointRecord, GraphSnapshot};
use hazcat_core::wait::LocalBell;
use hazcat_core::{Gid, Waitable};

use super::arriving::{Arriving, Presence};
use super::client::{
    publisher_options, reply_key, request_key, send, service_attributes, subscription_options, ServiceInfo,
};
use super::context::Context;
use super::depth;
use super::lock;
use super::node::Node;
use super::subscription::is_expired;
use crate::arrivals::ArrivalWatch;
use crate::clock;
use crate::dispatch::{GraphView, Observer};
use crate::encoding;
use crate::error::{Context as _, Failure, Result};
use crate::ffi;
use crate::qos::Qos;
use crate::typesupport::ServiceType;

/// The way back to one client.
struct Responder {
    publisher: Arc<hazcat_core::Publisher>,
    /// Whether the client was seen in the graph.
    seen: bool,
    /// Bytes of its largest reply, if that was large.
    bytes: usize,
    /// When the last large one went, by the count of large replies.
    used: u64,
}

/// Replies of so many bytes are large: they need more memory than a publisher has anyway.
const LARGE: usize = 64 << 10;
/// Bytes of the largest replies of those ways that are kept, all together.
const KEPT: usize = 16 << 20;

type Responders = HashMap<Gid, Responder>;

/// Notes a large reply, and takes out the ways that were not used for longest, as far as all have too much memory together: what
/// lies there unread stays until it is read.
fn note_large(responders: &mut Responders, client: Gid, bytes: usize) -> Vec<Responder> {
    let newest = responders.values().map(|responder| responder.used).max().unwrap_or(0);
    if let Some(responder) = responders.get_mut(&client) {
        responder.bytes = responder.bytes.max(bytes);
        responder.used = newest + 1;
    }
    let mut kept: usize = responders.values().map(|responder| responder.bytes).sum();
    let mut closed = Vec::new();
    while kept > KEPT {
        let large = responders.iter().filter(|(gid, responder)| responder.bytes > 0 && **gid != client);
        let Some(oldest) = large.min_by_key(|(_, responder)| responder.used).map(|(gid, _)| *gid) else { break };
        let Some(responder) = responders.remove(&oldest) else { break };
        kept -= responder.bytes;
        closed.push(responder);
    }
    closed
}

/// A server.
pub struct Service {
    /// First, so that the graph forgets it before it is gone.
    presence: Presence,
    watch: Arc<ArrivalWatch>,
    requests: Arc<hazcat_core::Subscription>,
    responders: Mutex<Responders>,
    kind: Arc<ServiceType>,
    qos: Qos,
    service: String,
    context: Arc<Context>,
}

impl Service {
    /// Joins the request topic, then shows itself in the graph.
    pub fn new(node: &Node, service: &str, kind: Arc<ServiceType>, qos: Qos) -> Result<Arc<Self>> {
        let context = node.context();
        let gid = context.new_gid();
        let requests = hazcat_core::Subscription::new(
            context.participant(),
            &request_key(service, &kind, &qos),
            subscription_options(gid, &qos),
        )
        .or_error(|| format!("cannot create a server of service '{service}'"))?;
        let requests = Arc::new(requests);
        let who = format!("the server of service '{service}'");
        let qos = depth::fitted(qos, requests.topic().layout().capacity(), &who);
        let announced = context.announce(EndpointRecord {
            kind: EndpointKind::Server,
            node: node.id().0,
            gid: gid.0,
            name: service.to_owned(),
            type_name: kind.ros_name().to_owned(),
            attributes: service_attributes(&kind, qos).encode(),
        })?;
        let server = Arc::new(Self {
            presence: Presence::new(announced),
            watch: ArrivalWatch::new(&requests, u64::MAX),
            requests,
            responders: Mutex::default(),
            kind,
            qos,
            service: service.to_owned(),
            context: Arc::clone(context),
        });
        let observer: Weak<Self> = Arc::downgrade(&server);
        context.dispatcher().add_observer(observer);
        node.add_member(&server);
        Ok(server)
    }

    /// Its service's name.
    pub fn name(&self) -> &str {
        &self.service
    }

    /// Its QoS in both directions.
    pub fn qos(&self) -> &Qos {
        &self.qos
    }

    fn subject(&self) -> String {
        format!("service '{}'", self.service)
    }

    /// Calls back when requests arrive.
    pub fn set_callback(&self, callback: ffi::rmw_event_callback_t, user_data: *const c_void) {
        self.watch.set_callback(self.context.dispatcher(), callback, user_data);
    }

    /// Takes the next request that has not expired into `request`.
    ///
    /// # Safety
    /// `request` points to an initialised request of this service's type that nobody else uses.
    pub unsafe fn take(&self, request: *mut c_void) -> Result<Option<ServiceInfo>> {
        let sample = loop {
            let Some(sample) = self.requests.take().or_error(|| self.subject())? else { return Ok(None) };
            // One that has expired may end a wait, and is not there then.
            if !is_expired(&sample.info()) {
                break sample;
            }
        };
        let info = sample.info();
        // SAFETY: forwarded from the caller.
        unsafe { encoding::read(self.kind.request(), info.encoding, &sample, request) }
            .map_err(|failure| failure.about(self.subject()))?;
        Ok(Some(ServiceInfo {
            source_timestamp: info.source_timestamp,
            received_timestamp: clock::now_nanos(),
            client: info.gid,
            number: i64::try_from(info.number.0).unwrap_or(i64::MAX),
        }))
    }

    /// Sends the reply to request `number` of `client`. A client that is gone gets none, which is no error.
    ///
    /// # Safety
    /// `response` points to an initialised response of this service's type, which nobody changes meanwhile.
    pub unsafe fn respond(&self, client: Gid, number: i64, response: *const c_void) -> Result<()> {
        let Some(publisher) = self.way_to(client)? else { return Ok(()) };
        // SAFETY: forwarded from the caller.
        let sent = unsafe { send(&publisher, self.kind.response(), response, number) }
            .map_err(|failure| failure.about(self.subject()))?;
        if sent.bytes >= LARGE {
            let mut responders = lock(&self.responders);
            let closed = note_large(&mut responders, client, sent.bytes);
            drop(responders);
            drop(closed);
        }
        Ok(())
    }

    /// The publisher to a client's replies; `None` if the client is gone.
    fn way_to(&self, client: Gid) -> Result<Option<Arc<hazcat_core::Publisher>>> {
        let Some(owner) = client.owner() else {
            return Err(Failure::invalid("the request header names no client").about(self.subject()));
        };
        let mut responders = lock(&self.responders);
        if let Some(responder) = responders.get(&client) {
            return Ok(Some(Arc::clone(&responder.publisher)));
        }
        let participant = self.context.participant();
        if owner != participant.identity() && !participant.is_alive(owner) {
            return Ok(None);
        }
        let publisher = hazcat_core::Publisher::new(
            participant,
            &reply_key(&self.service, &self.kind, &self.qos, client),
            publisher_options(self.context.new_gid(), self.kind.response(), &self.qos),
        )
        .or_error(|| self.subject())?;
        // A client listens before it asks, and as long as it is there.
        if !publisher.has_subscriptions() {
            return Ok(None);
        }
        let publisher = Arc::new(publisher);
        let responder = Responder { publisher: Arc::clone(&publisher), seen: false, bytes: 0, used: 0 };
        let snapshot = self.context.snapshot();
        let closed = self.close_ways(&mut responders, &snapshot);
        responders.insert(client, responder);
        drop(responders);
        drop(closed);
        Ok(Some(publisher))
    }

    /// Takes out the ways to clients that are gone, for the caller to drop without the lock: leaving a topic takes
    /// system calls. Called when the graph changes and when another way is opened.
    fn close_ways(&self, responders: &mut Responders, snapshot: &GraphSnapshot) -> Vec<Responder> {
        if responders.is_empty() {
            return Vec::new();
        }
        let clients: HashSet<Gid> =
            snapshot.endpoints_of(EndpointKind::Client, &self.service).map(|client| Gid(client.record.gid)).collect();
        let participant = self.context.participant();
        let lives = |client: &Gid| {
            client.owner().is_some_and(|owner| owner == participant.identity() || participant.is_alive(owner))
        };
        let mut gone = Vec::new();
        for (client, responder) in responders.iter_mut() {
            if clients.contains(client) {
                responder.seen = true;
            } else if responder.seen || !lives(client) || !responder.publisher.has_subscriptions() {
                gone.push(*client);
            }
        }
        gone.iter().filter_map(|client| responders.remove(client)).collect()
    }
}

impl Observer for Service {
    fn on_graph(&self, view: &GraphView<'_>) {
        let mut responders = lock(&self.responders);
        let closed = self.close_ways(&mut responders, view.snapshot);
        drop(responders);
        drop(closed);
    }

    fn deliver(&self) {}
}

impl Drop for Service {
    fn drop(&mut self) {
        self.watch.deactivate(self.context.dispatcher());
    }
}

impl Arriving for Service {
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

/// Ready while there is a request, and when it is retired.
impl Waitable for Service {
    fn is_ready(&self) -> bool {
        self.presence.has_ended() || self.requests.has_data()
    }

    fn arm(&self, bell: &Arc<LocalBell>) {
        self.requests.arm(bell);
    }

    fn disarm(&self, bell: &Arc<LocalBell>) {
        self.requests.disarm(bell);
    }
}
