//! What is killed: does everything at random, for ever.

use crate::endpoints::*;
use crate::support::*;
use hazcat_core::domain::DomainId;
use hazcat_core::graph::NodeRecord;
use hazcat_core::{MessageMeta, Participant, PublishError, Publisher};
use std::sync::Arc;
use std::time::Duration;

/// Creates and drops endpoints, publishes, takes, holds, calls services.
pub fn run(participant: &Arc<Participant>, random: &mut Random) {
    let record = NodeRecord { name: "victim".into(), namespace: "/".into(), enclave: "/".into() };
    participant.graph().add_node(record).expect("add node");
    answer(format!("ready {}", participant.identity().word()));
    loop {
        match random.below(4) {
            0 => across(participant, random),
            1 => client(participant, random),
            _ => queues(participant, random),
        }
    }
}

/// It takes and publishes in one thread: it must not wait for itself for long.
fn publish_or_give_up(publisher: &Publisher, who: u64, bytes: usize) -> bool {
    let number = publisher.next_number();
    let mut loan = publisher.loan(bytes).expect("loan");
    fill(&mut loan, who, number);
    match publisher.publish(loan, &MessageMeta::default()) {
        Ok(_) => true,
        // Numbers are not used again, and what is expected to follow without a gap would not.
        Err(PublishError::TimedOut) => false,
        Err(error) => panic!("{error}"),
    }
}

fn queues(participant: &Arc<Participant>, random: &mut Random) {
    let mut all = Receiver::new(participant, ALL, keep_all(), true);
    let newest = subscription(participant, LAST, last(4));
    let to_all = publisher(participant, ALL, keep_all_publisher(Duration::from_millis(1)));
    let to_last = publisher(participant, LAST, last_publisher());
    let mut held = Vec::new();
    for _ in 0..random.below(3000) {
        match random.below(8) {
            0 | 1 if !publish_or_give_up(&to_all, 0, 64) => return,
            0 | 1 => {}
            2 | 3 => publish(&to_last, 0, to_last.next_number(), size(random)),
            4 => drop(to_last.loan(size(random)).expect("loan")),
            5 if held.len() < 25 => held.extend(newest.take().expect("take")),
            6 if !held.is_empty() => {
                let at = random.below(held.len() as u64) as usize;
                expect_whole(&held.swap_remove(at));
            }
            _ => {
                all.take_all();
            }
        }
    }
}

fn across(participant: &Arc<Participant>, random: &mut Random) {
    let domains = [DomainId::HOST, device()];
    let publishers = domains.map(|domain| publisher(participant, ACROSS, publisher_in(domain)));
    let mut receivers = domains.map(|domain| Receiver::new(participant, ACROSS, subscription_in(domain), false));
    for _ in 0..random.below(300) {
        let which = random.below(2) as usize;
        match random.below(4) {
            0 | 1 => publish_across(&publishers[which], 0, size(random).min(100_000)),
            2 => drop(receivers[which].take()),
            _ => receivers[which].take_all(),
        }
    }
}

fn client(participant: &Arc<Participant>, random: &mut Random) {
    // Not the participant's id: replies to an earlier client of this process may still be coming.
    let me = random.next();
    let answers = subscription(participant, &replies(me), subscription_in(DomainId::HOST));
    let mut last = 0;
    let to_server = publisher(participant, &requests(random.below(2)), keep_all_publisher(Duration::from_millis(1)));
    for _ in 0..random.below(300) {
        if !publish_or_give_up(&to_server, me, 64) {
            return;
        }
        if random.below(3) == 0 {
            for (client, number) in take_all(&answers) {
                // The server may have given some up.
                assert!(client == me && number > last, "the reply to {number} of {client:x} after {last}");
                last = number;
            }
        }
    }
}
