//! Offers the service /add_two_ints and the action /fibonacci.

use futures::executor::{LocalPool, LocalSpawner};
use futures::{future, future::Either, task::LocalSpawnExt, Stream, StreamExt};
use r2r::example_interfaces::{action::Fibonacci, srv::AddTwoInts};
use r2r::{log_error, log_info, log_warn, ActionServerGoal, ActionServerGoalRequest, ServiceRequest};
use r2r::{Context, Node, QosProfile};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

type SharedNode = Rc<RefCell<Node>>;
type Service = AddTwoInts::Service;
type Action = Fibonacci::Action;

/// The 47th number does not fit its 32 bits.
const ORDERS: std::ops::RangeInclusive<i32> = 1..=46;
/// Time between two feedback messages.
const STEP: Duration = Duration::from_millis(200);

async fn answer(mut requests: impl Stream<Item = ServiceRequest<Service>> + Unpin, logger: String) {
    while let Some(request) = requests.next().await {
        let (a, b) = (request.message.a, request.message.b);
        log_info!(&logger, "Incoming request a: {} b: {}", a, b);
        if let Err(error) = request.respond(AddTwoInts::Response { sum: a.wrapping_add(b) }) {
            log_error!(&logger, "cannot respond on /add_two_ints: {}", error);
        }
    }
}

/// `order` numbers after the first, each told as feedback.
async fn fibonacci(node: SharedNode, goal: ActionServerGoal<Action>) -> r2r::Result<Vec<i32>> {
    let mut timer = node.borrow_mut().create_wall_timer(STEP)?;
    let mut sequence = vec![0, 1];
    for next in 1..goal.goal.order as usize {
        timer.tick().await?;
        sequence.push(sequence[next] + sequence[next - 1]);
        goal.publish_feedback(Fibonacci::Feedback { sequence: sequence.clone() })?;
    }
    Ok(sequence)
}

/// Works on one goal until it is done or cancelled.
async fn execute(node: SharedNode, request: ActionServerGoalRequest<Action>, logger: &str) -> r2r::Result<()> {
    let order = request.goal.order;
    if !ORDERS.contains(&order) {
        log_warn!(logger, "Rejecting a goal of order {}, not in {:?}", order, ORDERS);
        return request.reject();
    }
    log_info!(logger, "Executing a goal of order {}", order);
    let (mut goal, mut cancel) = request.accept()?;
    let work = Box::pin(fibonacci(node, goal.clone()));
    match future::select(work, cancel.next()).await {
        Either::Left((sequence, _)) => {
            goal.succeed(Fibonacci::Result { sequence: sequence? })?;
            log_info!(logger, "Goal succeeded");
        }
        Either::Right((request, _)) => {
            if let Some(request) = request {
                request.accept();
            }
            goal.cancel(Fibonacci::Result { sequence: Vec::new() })?;
            log_info!(logger, "Goal cancelled");
        }
    }
    Ok(())
}

async fn serve(
    node: SharedNode,
    mut goals: impl Stream<Item = ActionServerGoalRequest<Action>> + Unpin,
    spawner: LocalSpawner,
    logger: String,
) {
    while let Some(request) = goals.next().await {
        let (node, logger) = (Rc::clone(&node), logger.clone());
        let spawned = spawner.spawn_local(async move {
            if let Err(error) = execute(node, request, &logger).await {
                log_error!(&logger, "a goal of /fibonacci failed: {}", error);
            }
        });
        if spawned.is_err() {
            return;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut node = Node::create(Context::create()?, "r2r_server", "")?;
    let logger = node.logger().to_owned();
    let requests = node.create_service::<Service>("add_two_ints", QosProfile::default())?;
    let goals = node.create_action_server::<Action>("fibonacci")?;
    let node = Rc::new(RefCell::new(node));
    let mut pool = LocalPool::new();
    let spawner = pool.spawner();
    spawner.spawn_local(answer(requests, logger.clone()))?;
    spawner.spawn_local(serve(Rc::clone(&node), goals, spawner.clone(), logger))?;
    loop {
        node.borrow_mut().spin_once(Duration::from_millis(20));
        pool.run_until_stalled();
    }
}
