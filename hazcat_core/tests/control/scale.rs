//! A hundred processes.

use crate::support::{monotonic_ns, Peer, Starting, TestRoot};
use std::time::Instant;

const PROCESSES: usize = 100;

#[test]
fn a_hundred_processes_see_each_other_notice_a_kill_and_leave_nothing() {
    let root = TestRoot::new();
    let begun = Instant::now();
    let starting: Vec<Starting> = (0..PROCESSES).map(|_| Starting::new(&root)).collect();
    let mut peers: Vec<Peer> = starting.into_iter().map(Starting::joined).collect();
    println!("all joined after {:?}", begun.elapsed());
    // Everybody adds a node and ten endpoints at the same time.
    let adding = Instant::now();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(&format!("endpoints peer_{number}"));
    }
    for peer in &mut peers {
        assert_eq!(peer.answer(), "ok");
    }
    println!("all have added 10 endpoints after {:?}", adding.elapsed());
    for peer in &mut peers {
        peer.send(&format!("see {PROCESSES}"));
    }
    for peer in &mut peers {
        peer.answer();
    }
    println!("all see all after {:?}", adding.elapsed());
    let cpu: u64 = peers.iter_mut().map(|peer| peer.ask("cpu").parse::<u64>().expect("a number")).sum();
    println!("processor time of all so far: {} ms", cpu / 1_000_000);

    for round in 0..3 {
        let mut victim = peers.swap_remove(peers.len() / 2);
        let name = victim.ask("name");
        for peer in &mut peers {
            assert_eq!(peer.ask(&format!("miss {name}")), "watching");
        }
        let killed = monotonic_ns();
        victim.kill();
        let mut delays: Vec<u64> =
            peers.iter_mut().map(|peer| peer.answer().parse::<u64>().expect("a time").saturating_sub(killed)).collect();
        delays.sort_unstable();
        let ms = |ns: u64| ns as f64 / 1e6;
        println!(
            "kill {round}: {} others drop it after median {:.2} ms, max {:.2} ms",
            delays.len(),
            ms(delays[delays.len() / 2]),
            ms(delays[delays.len() - 1])
        );
    }

    let leaving = Instant::now();
    for peer in &mut peers {
        peer.send("leave");
    }
    peers.iter_mut().for_each(Peer::wait);
    println!("all have left after {:?}", leaving.elapsed());
    assert!(root.is_empty());
}
