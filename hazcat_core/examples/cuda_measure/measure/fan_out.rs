//! One publisher on the device and several host subscriptions, each in a process of its own: one copy per message for all of them,
//! at the speed that the bus has.

use super::other::{tell, Role};
use super::report::{FanOut, Figures};
use super::scene::{take, wrong_bytes};
use super::{Failure, Other, Plan, Report, Scene};
use hazcat_core::domain::cuda::probe;
use hazcat_core::domain::DomainId;
use hazcat_core::queue::layout::taken;
use hazcat_core::{MessageMeta, Publisher, Subscription};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Copies of each process that are not timed: they make and register its memory.
const COLD: u64 = 2;
/// Between two looks for a message.
const PAUSE: Duration = Duration::from_micros(20);

fn topic(size: usize) -> String {
    format!("/measure/host_{size}")
}

fn copies_by(subscription: &Subscription) -> u64 {
    let records = subscription.topic().layout().subscriptions().iter();
    let gid = subscription.gid().words();
    let own = |words: &[std::sync::atomic::AtomicU64; 2]| words.iter().map(|word| word.load(Ordering::Relaxed)).eq(gid);
    let counter = records.filter(|record| own(&record.gid)).filter_map(|record| record.counters.get(taken::TO_HOST));
    counter.map(|counter| counter.load(Ordering::Relaxed)).sum()
}

fn copies_to_host(publisher: &Publisher) -> u64 {
    publisher.topic().layout().domains().first().map_or(0, |host| host.copies.load(Ordering::Relaxed))
}

/// Another process: takes each message, checks its bytes, and says whether it was the one that copied, and how long that took.
pub fn read(role: &Role) -> Result<(), Failure> {
    let scene = Scene::new(&role.root, &role.device)?;
    let subscription = scene.host_subscription(&topic(role.size), role.size)?;
    tell(&[0])?;
    let mut copies = 0;
    for _ in 0..role.messages {
        let (sample, before, after) = take(&subscription, PAUSE)?;
        let made = copies_by(&subscription);
        let (copied, counts) = (made - copies, made > COLD);
        copies = made;
        let wrong = wrong_bytes(&sample, sample.info().number.0);
        let missing = i64::from(sample.len() != role.size);
        tell(&[i64::try_from(copied)?, if counts { after - before } else { 0 }, wrong + missing])?;
    }
    Ok(())
}

fn publish(scene: &Scene, publisher: &Publisher, size: usize) -> Result<(), Failure> {
    let loan = publisher.loan_on_device(size)?;
    // SAFETY: a loan of so many bytes, kept until the stream is done.
    unsafe { scene.kernels.fill(scene.stream.stream(), loan.address().as_ptr(), size, publisher.next_number())? };
    // What is timed is the copy, not the kernel.
    scene.stream.synchronize()?;
    loan.publish(&MessageMeta::default())?;
    Ok(())
}

pub fn measure(plan: &Plan, root: &Path, report: &mut Report) -> Result<(), Failure> {
    let (sizes, counted, before) = &plan.fan_out;
    for size in sizes {
        let bare = probe::bare_copies(&Scene::device(&plan.device)?, *size, 20)?;
        let bare = bare.iter().map(|took| took.as_nanos() as i64).collect();
        let scene = Scene::new(root, &plan.device)?;
        let publisher = scene.publisher(&topic(*size), *size)?;
        let start = |_| Other::start(plan, root, "host", counted + before, *size);
        let mut readers: Vec<Other> = (0..plan.subscriptions).map(start).collect::<Result<_, _>>()?;
        for reader in &mut readers {
            reader.hear::<1>()?;
        }
        let (mut copies, mut took, mut private) = (0, Vec::new(), 0);
        for message in 0..counted + before {
            let made_before = copies_to_host(&publisher);
            publish(&scene, &publisher, *size)?;
            for reader in &mut readers {
                let [copied, time, wrong] = reader.hear()?;
                report.check(1, *size, wrong);
                if copied > 0 && time > 0 && message >= *before {
                    took.push(time);
                }
            }
            if message >= *before {
                let made = copies_to_host(&publisher) - made_before;
                copies += made;
                private += made.saturating_sub(1);
            }
        }
        let (subscriptions, messages) = (plan.subscriptions, *counted as u64);
        let (copy, bare) = (Figures::of(took), Figures::of(bare));
        report.fan_out.push(FanOut { size: *size, subscriptions, messages, copies, private, copy, bare });
        for reader in readers {
            reader.end()?;
        }
        drop(publisher);
        scene.participant.leave();
    }
    Ok(())
}

impl Scene {
    fn host_subscription(&self, topic: &str, size: usize) -> Result<Subscription, Failure> {
        self.subscription(topic, DomainId::HOST, size)
    }
}
