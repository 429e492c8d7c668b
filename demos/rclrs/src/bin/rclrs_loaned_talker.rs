//! Publishes a number every second on /chatter_pod without a copy: it is written where the subscriptions read it.

#[path = "../../../shared/mapping.rs"]
mod mapping;

use rclrs::*;
use ros_env::std_msgs::msg::rmw::Float64;
use std::time::Duration;

/// Loans a message from the middleware, fills it in place and publishes it.
fn publish(publisher: &Publisher<Float64>, logger: &Logger, number: f64) -> Result<(), RclrsError> {
    let mut message = publisher.borrow_loaned_message()?;
    message.data = number;
    log_info!(logger, "Publishing: [{number}] in {}", mapping::describe(&*message));
    message.publish()
}

fn main() -> Result<(), RclrsError> {
    let mut executor = Context::default_from_env()?.create_basic_executor();
    let node = executor.create_node("rclrs_loaned_talker")?;
    // Only the C layout of a message (`rmw`) can be loaned, and only where it has no text or sequence of any length.
    let publisher = node.create_publisher::<Float64>("chatter_pod")?;
    let logger = node.logger().clone();
    if !publisher.can_loan_messages() {
        log_error!(&logger, "this middleware does not loan std_msgs/msg/Float64");
        std::process::exit(1);
    }
    let mut number = 0.0;
    let _timer = node.create_timer_repeating(Duration::from_secs(1), move || {
        number += 1.0;
        if let Err(error) = publish(&publisher, &logger, number) {
            log_error!(&logger, "cannot publish on /chatter_pod: {error}");
        }
    })?;
    executor.spin(SpinOptions::default()).first_error()
}
