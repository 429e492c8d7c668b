//! Names as they look on other middlewares' wires (`rt/chatter`, `std_msgs::msg::dds_::String_`).
//!
//! ROS 2 tools can ask for the graph without demangling, and other middlewares answer with their DDS names. Here the
//! graph holds ROS names and types; the mangled forms are made on request, and compared without being made.

/// What a middleware puts in front of the topics of a ROS topic, a request and a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// An ordinary topic.
    Topic,
    /// The requests of a service.
    Request,
    /// The replies of a service.
    Reply,
}

impl Channel {
    fn prefix(self) -> &'static str {
        match self {
            Channel::Topic => "rt",
            Channel::Request => "rq",
            Channel::Reply => "rr",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Channel::Topic => "",
            Channel::Request => "Request",
            Channel::Reply => "Reply",
        }
    }

    fn type_suffix(self) -> &'static str {
        match self {
            Channel::Topic => "",
            Channel::Request => "_Request",
            Channel::Reply => "_Response",
        }
    }

    /// The mangled name. A name that avoids ROS conventions stays as it is (but for the suffix of a service).
    pub fn mangle(self, name: &str, avoid_ros_conventions: bool) -> String {
        let prefix = if avoid_ros_conventions { "" } else { self.prefix() };
        [prefix, name, self.suffix()].concat()
    }

    /// Whether `mangled` is what [`Channel::mangle`] would make; allocates nothing.
    pub fn is_mangled(self, mangled: &str, name: &str, avoid_ros_conventions: bool) -> bool {
        let rest = if avoid_ros_conventions { Some(mangled) } else { mangled.strip_prefix(self.prefix()) };
        rest.and_then(|rest| rest.strip_suffix(self.suffix())) == Some(name)
    }

    /// The mangled type: `std_msgs/msg/String` is `std_msgs::msg::dds_::String_`, of a request
    /// `pkg::srv::dds_::Name_Request_`.
    pub fn mangle_type(self, ros_type: &str) -> String {
        let (namespace, name) = match ros_type.rfind('/') {
            Some(slash) => ros_type.split_at(slash + 1),
            None => ("", ros_type),
        };
        [&namespace.replace('/', "::"), "dds_::", name, self.type_suffix(), "_"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_services() {
        assert_eq!(Channel::Topic.mangle("/chatter", false), "rt/chatter");
        assert_eq!(Channel::Topic.mangle("chatter", true), "chatter");
        assert_eq!(Channel::Request.mangle("/add", false), "rq/addRequest");
        assert_eq!(Channel::Reply.mangle("/add", false), "rr/addReply");
        assert_eq!(Channel::Topic.mangle_type("std_msgs/msg/String"), "std_msgs::msg::dds_::String_");
        assert_eq!(Channel::Request.mangle_type("a/srv/B"), "a::srv::dds_::B_Request_");
        assert_eq!(Channel::Reply.mangle_type("a/srv/B"), "a::srv::dds_::B_Response_");
        assert_eq!(Channel::Topic.mangle_type("bare"), "dds_::bare_");
    }

    #[test]
    fn comparing_is_mangling() {
        for channel in [Channel::Topic, Channel::Request, Channel::Reply] {
            for avoid in [false, true] {
                for name in ["/chatter", "chatter", "/Request", ""] {
                    let mangled = channel.mangle(name, avoid);
                    assert!(channel.is_mangled(&mangled, name, avoid));
                    assert!(!channel.is_mangled(&format!("x{mangled}"), name, avoid));
                    assert!(!channel.is_mangled(&format!("{mangled}x"), name, avoid));
                }
            }
        }
    }
}
