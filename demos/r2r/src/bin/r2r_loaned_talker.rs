//! Publishes a number every second on /chatter_pod without a copy: it is written where the subscriptions read it.

#[path = "../../../shared/mapping.rs"]
mod mapping;

use r2r::std_msgs::msg::Float64;
use r2r::{log_info, Context, Node, QosProfile};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(1);

fn main() -> r2r::Result<()> {
    let mut node = Node::create(Context::create()?, "r2r_loaned_talker", "")?;
    let publisher = node.create_publisher::<Float64>("chatter_pod", QosProfile::default())?;
    let logger = node.logger().to_owned();
    let mut next = Instant::now();
    let mut number = 0.0;
    loop {
        next += PERIOD;
        while let Some(rest) = next.checked_duration_since(Instant::now()) {
            node.spin_once(rest);
        }
        number += 1.0;
        // The C layout of the message. Over a middleware without loans r2r hands out memory of its own instead.
        let mut message = publisher.borrow_loaned_message()?;
        message.data = number;
        log_info!(&logger, "Publishing: [{}] in {}", number, mapping::describe(&*message));
        publisher.publish_native(&mut message)?;
    }
}
