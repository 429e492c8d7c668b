//! ROS 2 middleware over hazcat_core.

pub mod cdr;
pub mod ffi;
pub mod typesupport;
