//! Prints the numbers published on /chatter_pod, read where the publisher wrote them.
//!
//! r2r asks rcl whether it may take a loan, and rcl says no unless ROS_DISABLE_LOANED_MESSAGES=0: without that the
//! numbers are copies.

#[path = "../../../shared/mapping.rs"]
mod mapping;

use futures::{executor::LocalPool, task::LocalSpawnExt, StreamExt};
use r2r::std_msgs::msg::Float64;
use r2r::{log_info, Context, Node, QosProfile};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut node = Node::create(Context::create()?, "r2r_loaned_listener", "")?;
    let logger = node.logger().to_owned();
    let mut messages = node.subscribe_native::<Float64>("chatter_pod", QosProfile::default())?;
    let mut pool = LocalPool::new();
    pool.spawner().spawn_local(async move {
        // Dropping the message returns the loan.
        while let Some(message) = messages.next().await {
            log_info!(&logger, "I heard: [{}] in {}", message.data, mapping::describe(&*message));
        }
    })?;
    loop {
        node.spin_once(Duration::from_millis(100));
        pool.run_until_stalled();
    }
}
