//! Prints the texts published on /chatter, as `demo_nodes_cpp listener` does.

use futures::{executor::LocalPool, task::LocalSpawnExt, StreamExt};
use r2r::std_msgs::msg::String as Text;
use r2r::{log_info, Context, Node, QosProfile};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut node = Node::create(Context::create()?, "r2r_listener", "")?;
    let logger = node.logger().to_owned();
    let mut messages = node.subscribe::<Text>("chatter", QosProfile::default())?;
    let mut pool = LocalPool::new();
    pool.spawner().spawn_local(async move {
        while let Some(message) = messages.next().await {
            log_info!(&logger, "I heard: [{}]", message.data);
        }
    })?;
    loop {
        node.spin_once(Duration::from_millis(100));
        pool.run_until_stalled();
    }
}
