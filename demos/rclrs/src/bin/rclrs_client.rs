//! Calls the service /add_two_ints and sends a goal to the action /fibonacci, once each is there; then ends.

use rclrs::*;
use ros_env::example_interfaces::action::{Fibonacci, Fibonacci_Goal};
use ros_env::example_interfaces::srv::{AddTwoInts, AddTwoInts_Request, AddTwoInts_Response};
use std::error::Error;
use std::future::Future;
use std::time::Duration;

/// Longest wait for an answer. rclrs 0.8 notes a request after it has sent it, and drops an answer that is quicker than that
/// (`Client::call`, `ActionClientBoard::request_goal`).
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks until there is an answer.
async fn answer_to<T, F>(ask: impl Fn() -> Result<F, RclrsError>, logger: &Logger) -> Result<T, RclrsError>
where
    F: Future<Output = T>,
{
    loop {
        match async_std::future::timeout(PATIENCE, ask()?).await {
            Ok(answer) => return Ok(answer),
            Err(_) => log_warn!(logger, "no answer within {PATIENCE:?}, asking again"),
        }
    }
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

async fn call_service(client: Client<AddTwoInts>, logger: &Logger) -> Outcome {
    client.notify_on_service_ready().await?;
    let ask = || client.call::<_, AddTwoInts_Response>(AddTwoInts_Request { a: 40, b: 2 });
    let response = answer_to(ask, logger).await??;
    log_info!(logger, "Result of add_two_ints: {}", response.sum);
    Ok(())
}

async fn send_goal(client: ActionClient<Fibonacci>, logger: &Logger) -> Outcome {
    client.notify_on_server_ready().await?;
    let ask = || client.try_request_goal(Fibonacci_Goal { order: 5 });
    let goal = answer_to(ask, logger).await?.ok_or("the goal was rejected")?;
    let GoalClient { mut feedback, result, .. } = goal;
    // The result may overtake the last feedback, which is another topic: whatever comes until the result is shown.
    let feedback_logger = logger.clone();
    let show = async move {
        while let Some(message) = feedback.recv().await {
            log_info!(&feedback_logger, "Feedback: {:?}", message.sequence);
        }
        std::future::pending().await
    };
    let (status, message) = futures_lite::future::or(result, show).await;
    log_info!(logger, "Result of fibonacci: {status:?} {:?}", message.sequence);
    if status != GoalStatusCode::Succeeded {
        return Err("the goal did not succeed".into());
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut executor = Context::default_from_env()?.create_basic_executor();
    let node = executor.create_node("rclrs_client")?;
    let service = node.create_client::<AddTwoInts>("add_two_ints")?;
    let action = node.create_action_client::<Fibonacci>("fibonacci")?;
    let logger = node.logger().clone();
    let commands = executor.commands();
    let (mut outcome, done) = commands.create_notice(commands.run(async move {
        call_service(service, &logger).await?;
        send_goal(action, &logger).await
    }));
    executor.spin(SpinOptions::new().until_promise_resolved(done)).first_error()?;
    outcome.try_recv()?.ok_or("interrupted")?
}
