//! Publishes a text every second on /chatter, as `demo_nodes_cpp talker` does.

use r2r::std_msgs::msg::String as Text;
use r2r::{log_info, Context, Node, QosProfile};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(1);

fn main() -> r2r::Result<()> {
    let mut node = Node::create(Context::create()?, "r2r_talker", "")?;
    let publisher = node.create_publisher::<Text>("chatter", QosProfile::default())?;
    let logger = node.logger().to_owned();
    let mut next = Instant::now();
    for count in 1.. {
        next += PERIOD;
        while let Some(rest) = next.checked_duration_since(Instant::now()) {
            node.spin_once(rest);
        }
        let message = Text { data: format!("Hello World: {count}") };
        log_info!(&logger, "Publishing: '{}'", message.data);
        publisher.publish(&message)?;
    }
    Ok(())
}
