//! Why a type support cannot be used.

use thiserror::Error;

/// A type support handle that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TypeSupportError {
    /// The handle, or a table that it leads to, is a null pointer.
    #[error("type support: {what} is null")]
    Null {
        /// Which pointer.
        what: &'static str,
    },
    /// Neither the C nor the C++ introspection tables can be reached from the handle.
    #[error(
        "type support '{identifier}' leads neither to rosidl_typesupport_introspection_c nor to \
         rosidl_typesupport_introspection_cpp"
    )]
    NoIntrospection {
        /// The identifier of the handle.
        identifier: String,
    },
    /// A member's type is not one of rosidl's.
    #[error("type {type_name}: member '{member}' has the unknown type number {number}")]
    UnknownMemberType {
        /// ROS name of the message.
        type_name: String,
        /// Name of the member.
        member: String,
        /// The number found.
        number: u8,
    },
    /// A member does not lie inside its message, or the table is otherwise impossible.
    #[error("type {type_name}: member '{member}': {problem}")]
    BadMember {
        /// ROS name of the message.
        type_name: String,
        /// Name of the member.
        member: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Messages inside messages, deeper than any generated type is.
    #[error("type {type_name} is nested more than {limit} levels deep")]
    TooDeep {
        /// ROS name of the message at the limit.
        type_name: String,
        /// The limit.
        limit: usize,
    },
    /// Strings or vectors of the C++ messages are not laid out as libstdc++ lays them out.
    #[error(
        "type {type_name}: member '{member}' is not laid out as in libstdc++; C++ messages built \
         with another standard library are not supported"
    )]
    UnknownCxxLayout {
        /// ROS name of the message.
        type_name: String,
        /// Name of the member.
        member: String,
    },
    /// A C++ message needs memory from the C++ runtime, and none is loaded.
    #[error("type {type_name}: the C++ runtime (libstdc++.so.6) is not loaded in this process")]
    NoCxxRuntime {
        /// ROS name of the message.
        type_name: String,
    },
}
