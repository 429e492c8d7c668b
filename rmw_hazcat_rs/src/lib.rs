//! ROS 2 middleware over hazcat_core.

pub mod ffi;
