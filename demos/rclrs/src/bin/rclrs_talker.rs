//! Publishes a text every second on /chatter, as `demo_nodes_cpp talker` does.

use rclrs::*;
use ros_env::std_msgs::msg::String as Text;
use std::time::Duration;

fn main() -> Result<(), RclrsError> {
    let mut executor = Context::default_from_env()?.create_basic_executor();
    let node = executor.create_node("rclrs_talker")?;
    let publisher = node.create_publisher::<Text>("chatter")?;
    let logger = node.logger().clone();
    let mut count = 0;
    let _timer = node.create_timer_repeating(Duration::from_secs(1), move || {
        count += 1;
        let message = Text { data: format!("Hello World: {count}") };
        log_info!(&logger, "Publishing: '{}'", message.data);
        if let Err(error) = publisher.publish(message) {
            log_error!(&logger, "cannot publish on /chatter: {error}");
        }
    })?;
    executor.spin(SpinOptions::default()).first_error()
}
