//! Questions about the graph, answered from a snapshot of it.
//!
//! The graph holds ROS names. What another middleware would call "rt/...", "rq/..." and "rr/..." topics is only made for
//! who asks for names without demangling; otherwise the prefixes never show.

use hazcat_core::graph::{EndpointKind, EndpointView, GraphSnapshot};

use crate::attributes::Attributes;
use crate::c_arrays::NamesAndTypes;
use crate::mangle::Channel;

/// A direction on a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Publishers, senders of requests and of replies.
    Writes,
    /// Subscriptions, receivers of requests and of replies.
    Reads,
}

/// What an endpoint uses in one direction: a client writes requests and reads replies, a server the other way round.
fn channel(kind: EndpointKind, direction: Direction) -> Option<Channel> {
    match (kind, direction) {
        (EndpointKind::Publisher, Direction::Writes) | (EndpointKind::Subscription, Direction::Reads) => {
            Some(Channel::Topic)
        }
        (EndpointKind::Client, Direction::Writes) | (EndpointKind::Server, Direction::Reads) => Some(Channel::Request),
        (EndpointKind::Server, Direction::Writes) | (EndpointKind::Client, Direction::Reads) => Some(Channel::Reply),
        (EndpointKind::Publisher, Direction::Reads) | (EndpointKind::Subscription, Direction::Writes) => None,
    }
}

/// Whether an endpoint's topic is named without ROS conventions; `None` if its attributes make no sense.
fn avoids_conventions(endpoint: &EndpointView<'_>) -> Option<bool> {
    Some(Attributes::decode(&endpoint.record.attributes)?.qos.avoid_ros_namespace_conventions)
}

/// Adds what an endpoint shows as a topic in one direction, if anything.
fn add_topic(list: &mut NamesAndTypes, endpoint: &EndpointView<'_>, direction: Direction, mangled: bool) {
    let Some(channel) = channel(endpoint.record.kind, direction) else { return };
    let Some(avoids) = avoids_conventions(endpoint) else { return };
    let (name, type_name) = if mangled {
        (channel.mangle(&endpoint.record.name, avoids), channel.mangle_type(&endpoint.record.type_name))
    } else if channel == Channel::Topic && !avoids {
        (endpoint.record.name.clone(), endpoint.record.type_name.clone())
    } else {
        return;
    };
    list.entry(name).or_default().insert(type_name);
}

/// All topics with their types.
pub fn topics(snapshot: &GraphSnapshot, mangled: bool) -> NamesAndTypes {
    let mut list = NamesAndTypes::new();
    for endpoint in snapshot.endpoints() {
        add_topic(&mut list, &endpoint, Direction::Writes, mangled);
        add_topic(&mut list, &endpoint, Direction::Reads, mangled);
    }
    list
}

/// Adds the service of a client or server, unless it is named without ROS conventions: then it is none for ROS, but two topics.
fn add_service(list: &mut NamesAndTypes, endpoint: &EndpointView<'_>) {
    if avoids_conventions(endpoint) == Some(false) {
        list.entry(endpoint.record.name.clone()).or_default().insert(endpoint.record.type_name.clone());
    }
}

/// All services with their types, whether they have a server or only clients.
pub fn services(snapshot: &GraphSnapshot) -> NamesAndTypes {
    let mut list = NamesAndTypes::new();
    for endpoint in snapshot.endpoints() {
        if matches!(endpoint.record.kind, EndpointKind::Server | EndpointKind::Client) {
            add_service(&mut list, &endpoint);
        }
    }
    list
}

/// Whether there is a node of that name.
pub fn has_node(snapshot: &GraphSnapshot, name: &str, namespace: &str) -> bool {
    snapshot.nodes().any(|node| node.record.name == name && node.record.namespace == namespace)
}

fn of_node<'a>(
    snapshot: &'a GraphSnapshot,
    name: &'a str,
    namespace: &'a str,
) -> impl Iterator<Item = EndpointView<'a>> {
    snapshot
        .endpoints()
        .filter(move |endpoint| endpoint.node.is_some_and(|node| node.name == name && node.namespace == namespace))
}

/// The topics that a node writes or reads.
pub fn topics_of_node(
    snapshot: &GraphSnapshot,
    name: &str,
    namespace: &str,
    direction: Direction,
    mangled: bool,
) -> NamesAndTypes {
    let mut list = NamesAndTypes::new();
    for endpoint in of_node(snapshot, name, namespace) {
        add_topic(&mut list, &endpoint, direction, mangled);
    }
    list
}

/// The services that a node serves (`Server`) or uses (`Client`).
pub fn services_of_node(snapshot: &GraphSnapshot, name: &str, namespace: &str, kind: EndpointKind) -> NamesAndTypes {
    let mut list = NamesAndTypes::new();
    for endpoint in of_node(snapshot, name, namespace).filter(|endpoint| endpoint.record.kind == kind) {
        add_service(&mut list, &endpoint);
    }
    list
}

/// How many endpoints of a kind there are on a topic or service. Allocates nothing.
pub fn count(snapshot: &GraphSnapshot, kind: EndpointKind, name: &str) -> usize {
    snapshot.endpoints_of(kind, name).filter(|endpoint| avoids_conventions(endpoint) == Some(false)).count()
}

/// An endpoint on a topic, for `rmw_topic_endpoint_info_t`.
pub struct EndpointOnTopic {
    /// Its node.
    pub node_name: String,
    /// Its node's namespace.
    pub node_namespace: String,
    /// Its type, mangled if the topic's name was.
    pub type_name: String,
    /// Its gid.
    pub gid: [u8; 16],
    /// Its QoS and type hash.
    pub attributes: Attributes,
}

/// What other middlewares say where an endpoint's node is not known (yet).
const UNKNOWN_NODE: (&str, &str) = ("_NODE_NAME_UNKNOWN_", "_NODE_NAMESPACE_UNKNOWN_");

/// The endpoints that write or read a topic.
pub fn endpoints_on_topic(
    snapshot: &GraphSnapshot,
    topic: &str,
    direction: Direction,
    mangled: bool,
) -> Vec<EndpointOnTopic> {
    let mut list = Vec::new();
    for endpoint in snapshot.endpoints() {
        let Some(channel) = channel(endpoint.record.kind, direction) else { continue };
        let Some(attributes) = Attributes::decode(&endpoint.record.attributes) else { continue };
        let avoids = attributes.qos.avoid_ros_namespace_conventions;
        let type_name = if mangled {
            if !channel.is_mangled(topic, &endpoint.record.name, avoids) {
                continue;
            }
            channel.mangle_type(&endpoint.record.type_name)
        } else {
            if channel != Channel::Topic || avoids || endpoint.record.name != topic {
                continue;
            }
            endpoint.record.type_name.clone()
        };
        let (name, namespace) = match endpoint.node {
            Some(node) => (node.name.as_str(), node.namespace.as_str()),
            None => UNKNOWN_NODE,
        };
        list.push(EndpointOnTopic {
            node_name: name.to_owned(),
            node_namespace: namespace.to_owned(),
            type_name,
            gid: endpoint.record.gid,
            attributes,
        });
    }
    list
}
