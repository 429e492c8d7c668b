//! Offers the service /add_two_ints and the action /fibonacci.

use async_std::task::sleep;
use rclrs::*;
use ros_env::example_interfaces::action::{Fibonacci, Fibonacci_Feedback, Fibonacci_Result};
use ros_env::example_interfaces::srv::{AddTwoInts, AddTwoInts_Request, AddTwoInts_Response};
use std::time::Duration;

/// The 47th number does not fit its 32 bits.
const ORDERS: std::ops::RangeInclusive<i32> = 1..=46;
/// Time between two feedback messages.
const STEP: Duration = Duration::from_millis(200);

/// Works on one goal: `order` numbers after the first, each told as feedback, until done or cancelled.
async fn fibonacci(requested: RequestedGoal<Fibonacci>, logger: Logger) -> TerminatedGoal {
    let order = requested.goal().order;
    if !ORDERS.contains(&order) {
        log_warn!(&logger, "Rejecting a goal of order {order}, not in {ORDERS:?}");
        return requested.reject();
    }
    log_info!(&logger, "Executing a goal of order {order}");
    let goal = match requested.accept().begin() {
        BeginAcceptedGoal::Execute(goal) => goal,
        BeginAcceptedGoal::Cancel(goal) => return goal.cancelled_with(Fibonacci_Result::default()),
    };
    let mut sequence = vec![0, 1];
    for next in 1..order as usize {
        if goal.unless_cancel_requested(sleep(STEP)).await.is_err() {
            log_info!(&logger, "Goal cancelled");
            return goal.begin_cancelling().cancelled_with(Fibonacci_Result { sequence });
        }
        sequence.push(sequence[next] + sequence[next - 1]);
        goal.publish_feedback(Fibonacci_Feedback { sequence: sequence.clone() });
    }
    log_info!(&logger, "Goal succeeded");
    goal.succeeded_with(Fibonacci_Result { sequence })
}

fn main() -> Result<(), RclrsError> {
    let mut executor = Context::default_from_env()?.create_basic_executor();
    let node = executor.create_node("rclrs_server")?;
    let logger = node.logger().clone();
    let _service = node.create_service::<AddTwoInts, _>("add_two_ints", move |request: AddTwoInts_Request| {
        log_info!(&logger, "Incoming request a: {} b: {}", request.a, request.b);
        AddTwoInts_Response { sum: request.a.wrapping_add(request.b) }
    })?;
    let logger = node.logger().clone();
    let _action = node.create_action_server("fibonacci", move |goal| fibonacci(goal, logger.clone()))?;
    executor.spin(SpinOptions::default()).first_error()
}
