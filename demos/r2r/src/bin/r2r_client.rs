//! Calls the service /add_two_ints and sends a goal to the action /fibonacci, once each is there; then ends.

use futures::{executor::LocalPool, future, future::Either, task::LocalSpawnExt, FutureExt, StreamExt};
use r2r::example_interfaces::{action::Fibonacci, srv::AddTwoInts};
use r2r::{log_info, ActionClient, Client, Context, GoalStatus, Node, QosProfile};
use std::error::Error;
use std::time::Duration;

type Outcome = Result<(), Box<dyn Error>>;

async fn call_service(client: Client<AddTwoInts::Service>, logger: &str) -> Outcome {
    Node::is_available(&client)?.await?;
    let response = client.request(&AddTwoInts::Request { a: 40, b: 2 })?.await?;
    log_info!(logger, "Result of add_two_ints: {}", response.sum);
    Ok(())
}

async fn send_goal(client: ActionClient<Fibonacci::Action>, logger: &str) -> Outcome {
    Node::is_available(&client)?.await?;
    let (_goal, result, feedback) = client.send_goal_request(Fibonacci::Goal { order: 5 })?.await?;
    // The result may overtake the last feedback, which is another topic: whatever comes until the result is shown.
    let show = feedback.for_each(|message| async move {
        log_info!(logger, "Feedback: {:?}", message.sequence);
    });
    let result = match future::select(Box::pin(result), Box::pin(show)).await {
        Either::Left((result, _)) => result,
        Either::Right((_, result)) => result.await,
    };
    let (status, message) = result?;
    log_info!(logger, "Result of fibonacci: {:?} {:?}", status, message.sequence);
    if status != GoalStatus::Succeeded {
        return Err("the goal did not succeed".into());
    }
    Ok(())
}

fn main() -> Outcome {
    let mut node = Node::create(Context::create()?, "r2r_client", "")?;
    let service = node.create_client::<AddTwoInts::Service>("add_two_ints", QosProfile::default())?;
    let action = node.create_action_client::<Fibonacci::Action>("fibonacci")?;
    let logger = node.logger().to_owned();
    let mut pool = LocalPool::new();
    let mut outcome = pool.spawner().spawn_local_with_handle(async move {
        call_service(service, &logger).await?;
        send_goal(action, &logger).await
    })?;
    loop {
        node.spin_once(Duration::from_millis(20));
        pool.run_until_stalled();
        if let Some(outcome) = (&mut outcome).now_or_never() {
            return outcome;
        }
    }
}
