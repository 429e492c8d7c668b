//! Prints the texts published on /chatter, as `demo_nodes_cpp listener` does.

use rclrs::*;
use ros_env::std_msgs::msg::String as Text;

fn main() -> Result<(), RclrsError> {
    let mut executor = Context::default_from_env()?.create_basic_executor();
    let node = executor.create_node("rclrs_listener")?;
    let logger = node.logger().clone();
    let _subscription = node.create_subscription::<Text, _>("chatter", move |message: Text| {
        log_info!(&logger, "I heard: [{}]", message.data);
    })?;
    executor.spin(SpinOptions::default()).first_error()
}
