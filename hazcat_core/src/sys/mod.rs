//! The few rooms through which raw memory and system calls are reached. Everything else in the crate is safe Rust over
//! the types here, except for payload bytes (see [`crate::payload`]).

pub mod bus_error;
pub mod clock;
pub mod file_id;
pub mod fork;
pub mod futex;
pub mod mapping;
pub mod ofd_lock;
pub mod prefetch;
pub mod private_lock;
pub mod random;
pub mod reservation;
pub mod seqpacket;
pub mod shm_file;
pub mod thread;
