//! The same work over different systems: what a measurement asks of a system, and one implementation per system.
//!
//! The measurements are generic over [`Transport`], so that the compiler makes one loop per system and no call is indirect.
//! What one message costs its two sides is exactly this, for every system:
//!
//! * [`Sender::send`]: loan a message of the job's size, write the counter into its first 8 bytes (or nothing, or copy the
//!   whole private payload in), publish. Blocking: and wake the receiver.
//! * [`Receiver::try_receive`]: take a message if there is one, read the counter from its first 8 bytes (or copy all out to
//!   private memory and read it there), give the message back.

pub mod floor;
pub mod hazcat;
pub mod iceoryx;

use std::error::Error;

use crate::scenario::{Job, Payload, Role};
use crate::shared_page::{Direction, SharedPage};

/// What a system answered instead of working; the measurement fails with it.
pub type Failure = Box<dyn Error + Send + Sync>;

/// One side's access to a system.
pub trait Transport: Sized {
    /// Publishes on one direction.
    type Sender: Sender;
    /// Receives from one direction.
    type Receiver: Receiver;

    /// Joins the system for `job`, as `role`.
    fn open(job: &Job, role: Role, page: &'static SharedPage) -> Result<Self, Failure>;
    /// Creates the publisher of a direction.
    fn sender(&self, direction: Direction) -> Result<Self::Sender, Failure>;
    /// Creates a subscription to a direction.
    fn receiver(&self, direction: Direction) -> Result<Self::Receiver, Failure>;
}

/// The publishing side.
pub trait Sender {
    /// Loan, fill as the job says, publish, and wake where the job is a blocking one.
    fn send(&mut self, counter: u64) -> Result<(), Failure>;
}

/// The receiving side.
pub trait Receiver {
    /// Take if there is something, read as the job says, return. The counter of the message.
    fn try_receive(&mut self) -> Result<Option<u64>, Failure>;
    /// Sleeps until there may be something, at most about 100 ms. Only blocking jobs call it.
    fn sleep(&mut self) -> Result<(), Failure>;
}

/// The private memory that a `Copied` payload is copied from or to; begins with the counter.
#[derive(Debug)]
pub struct Private {
    bytes: Vec<u8>,
    /// Messages received, where they do not say themselves which one they are.
    received: u64,
}

impl Private {
    /// Private memory for messages of `size` bytes, touched once so that its pages exist.
    pub fn new(size: usize) -> Self {
        Self { bytes: vec![0x5a; size.max(Job::MIN_SIZE)], received: 0 }
    }

    /// The sender's work on a loaned payload of the job's size.
    #[inline(always)]
    pub fn fill(&mut self, payload: Payload, counter: u64, message: &mut [u8]) -> Result<(), Failure> {
        let bytes = counter.to_le_bytes();
        let target = match payload {
            Payload::Untouched => return Ok(()),
            Payload::Counter => &mut *message,
            Payload::Copied => &mut *self.bytes,
        };
        target.first_chunk_mut::<8>().map(|first| *first = bytes).ok_or("the message is too short")?;
        if payload == Payload::Copied {
            if message.len() != self.bytes.len() {
                return Err("the loan has another size than asked for".into());
            }
            message.copy_from_slice(&self.bytes);
        }
        Ok(())
    }

    /// The receiver's work on a taken payload: the counter.
    #[inline(always)]
    pub fn read<'m>(&mut self, payload: Payload, message: impl FnOnce() -> &'m [u8]) -> Result<u64, Failure> {
        if payload == Payload::Untouched {
            self.received += 1;
            return Ok(self.received);
        }
        let message = message();
        if payload == Payload::Copied {
            if message.len() != self.bytes.len() {
                return Err("the message has another size than was sent".into());
            }
            self.bytes.copy_from_slice(message);
            // Nobody reads the copy; this keeps the compiler from leaving it out.
            std::hint::black_box(&mut self.bytes);
        }
        let source = match payload {
            Payload::Untouched | Payload::Counter => message,
            Payload::Copied => &self.bytes,
        };
        let first = source.first_chunk::<8>().ok_or("the message is too short")?;
        Ok(u64::from_le_bytes(*first))
    }
}
