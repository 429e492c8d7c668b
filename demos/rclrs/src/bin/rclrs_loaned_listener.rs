//! Prints the numbers published on /chatter_pod, read where the publisher wrote them.

#[path = "../../../shared/mapping.rs"]
mod mapping;

use rclrs::*;
use ros_env::std_msgs::msg::Float64;

fn main() -> Result<(), RclrsError> {
    let mut executor = Context::default_from_env()?.create_basic_executor();
    let node = executor.create_node("rclrs_loaned_listener")?;
    let logger = node.logger().clone();
    // Dropping the message returns the loan.
    let _subscription =
        node.create_subscription::<Float64, _>("chatter_pod", move |message: ReadOnlyLoanedMessage<Float64>| {
            log_info!(&logger, "I heard: [{}] in {}", message.data, mapping::describe(&*message));
        })?;
    executor.spin(SpinOptions::default()).first_error()
}
