//! ROS 2 middleware over `hazcat_core`: an implementation of the `rmw` C interface, loaded with
//! `RMW_IMPLEMENTATION=rmw_hazcat_rs`.
//!
//! From the outside in: [`abi`] has one thin function per rmw symbol; [`entity`] has the ROS entities behind them;
//! `hazcat_core` moves the messages. [`typesupport`] and [`cdr`] know what messages look like, [`ffi`] what the C
//! headers say. [`error`] is where all failures become return codes.

pub mod abi;
pub mod allocator;
pub mod arrivals;
pub mod attributes;
pub mod c_arrays;
pub mod callback;
pub mod cdr;
pub mod clock;
pub mod content_filter;
pub mod descriptors;
pub mod dispatch;
pub mod encoding;
pub mod entity;
pub mod error;
pub mod exit;
pub mod ffi;
pub mod graph_queries;
pub mod heartbeat;
pub mod identity;
pub mod logging;
pub mod mangle;
pub mod names;
pub mod preference;
pub mod qos;
pub mod typesupport;
