//! One publisher and one subscription on the same device, in two processes: nothing is copied, so size must not matter; and
//! publishing does not wait for the kernel that fills the message.

use super::other::{tell, Role};
use super::report::{Figures, OneToOne};
use super::scene::{now, take};
use super::{Failure, Other, Plan, Report, Scene};
use hazcat_core::domain::Stream;
use hazcat_core::{MessageMeta, Publisher};
use std::path::Path;
use std::time::Duration;

const TOPIC: &str = "/measure/device";
/// What a message is: there when it is published, or not.
const SETTLED: u32 = 0;
const ORDERED: u32 = 1;
/// Length of a kernel that does next to nothing.
const SHORT: u64 = 1000;
/// Size of the messages that are published while a kernel runs.
const BUSY_SIZE: usize = 1 << 20;

/// The other process: takes each message, checks its bytes with a kernel, and says how long it took to get here.
pub fn read(role: &Role) -> Result<(), Failure> {
    let scene = Scene::new(&role.root, &role.device)?;
    let subscription = scene.subscription(TOPIC, scene.domain, 0)?;
    let stream = scene.stream.stream();
    // Compiled and loaded before it counts.
    scene.kernels.spin(stream, SHORT)?;
    scene.stream.synchronize()?;
    tell(&[0])?;
    for _ in 0..role.messages {
        let (sample, _, mut arrived) = take(&subscription, Duration::ZERO)?;
        let info = sample.info();
        let message = sample.device().ok_or("a message that is not on the device")?;
        if info.encoding == ORDERED {
            message.wait_ready(Some(stream))?;
            scene.kernels.spin(stream, 0)?;
            scene.stream.synchronize()?;
            arrived = now();
        }
        // SAFETY: a message that is held, in memory that is mapped as long as `message` is there.
        let wrong =
            unsafe { scene.kernels.wrong_bytes(stream, message.address().as_ptr(), message.len(), info.number.0)? };
        if message.is_poisoned() {
            return Err("the producer is said to have died".into());
        }
        tell(&[arrived - info.correlation, i64::try_from(wrong)?])?;
    }
    Ok(())
}

/// Fills a message, and publishes it when it is filled. Answers when that began.
fn publish_settled(scene: &Scene, publisher: &Publisher, size: usize) -> Result<(), Failure> {
    let loan = publisher.loan_on_device(size)?;
    // SAFETY: a loan of so many bytes, kept until the stream is done.
    unsafe { scene.kernels.fill(scene.stream.stream(), loan.address().as_ptr(), size, publisher.next_number())? };
    scene.stream.synchronize()?;
    loan.publish(&MessageMeta { encoding: SETTLED, correlation: now(), ..MessageMeta::default() })?;
    Ok(())
}

/// Publishes a message behind a short kernel on its stream.
fn publish_ordered(scene: &Scene, publisher: &Publisher, size: usize) -> Result<(), Failure> {
    let (loan, length) = publisher.loan_on_device(size)?.into_raw();
    let stream = scene.stream.stream();
    // SAFETY: a loan of so many bytes, whose memory is not handed out again before the stream is done.
    unsafe { scene.kernels.fill(stream, loan.ptr.as_ptr(), size, publisher.next_number())? };
    scene.stream.synchronize()?;
    let meta = MessageMeta { encoding: ORDERED, correlation: now(), ..MessageMeta::default() };
    scene.kernels.spin(stream, SHORT)?;
    publisher.publish_from_stream(loan, length, &meta, stream)?;
    Ok(())
}

/// Publishes a message that a kernel is still filling. Answers how long publishing took, and whether the kernel was still
/// running then.
fn publish_busy(scene: &Scene, publisher: &Publisher, kernel: Duration) -> Result<(i64, bool), Failure> {
    let (loan, length) = publisher.loan_on_device(BUSY_SIZE)?.into_raw();
    let stream: Stream = scene.stream.stream();
    scene.kernels.spin(stream, u64::try_from(kernel.as_nanos())?)?;
    // SAFETY: as above.
    unsafe { scene.kernels.fill(stream, loan.ptr.as_ptr(), length, publisher.next_number())? };
    let meta = MessageMeta { encoding: ORDERED, correlation: now(), ..MessageMeta::default() };
    let began = now();
    publisher.publish_from_stream(loan, length, &meta, stream)?;
    let took = now() - began;
    Ok((took, !scene.stream.is_done()?))
}

pub fn measure(plan: &Plan, root: &Path, report: &mut Report) -> Result<(), Failure> {
    let scene = Scene::new(root, &plan.device)?;
    let largest = plan.sizes.iter().copied().max().unwrap_or(0);
    let publisher = scene.publisher(TOPIC, largest.max(BUSY_SIZE))?;
    let (counted, before) = plan.messages;
    let total = plan.sizes.len() * 2 * (counted + before) + plan.busy.0 + before;
    let mut reader = Other::start(plan, root, "reader", total, largest)?;
    reader.hear::<1>()?;
    for size in &plan.sizes {
        let (mut settled, mut ordered) = (Vec::new(), Vec::new());
        for message in 0..counted + before {
            publish_settled(&scene, &publisher, *size)?;
            let [took, wrong] = reader.hear()?;
            publish_ordered(&scene, &publisher, *size)?;
            let [took_behind, more_wrong] = reader.hear()?;
            report.check(2, *size, wrong + more_wrong);
            if message >= before {
                settled.push(took);
                ordered.push(took_behind);
            }
        }
        let (settled, ordered) = (Figures::of(settled), Figures::of(ordered));
        report.one_to_one.push(OneToOne { size: *size, settled, ordered });
    }
    let mut took = Vec::new();
    for message in 0..plan.busy.0 + before {
        let (publishing, was_busy) = publish_busy(&scene, &publisher, plan.busy.1)?;
        let [_, wrong] = reader.hear()?;
        report.check(1, BUSY_SIZE, wrong);
        if message >= before {
            took.push(publishing);
            report.idle_behind_publish += usize::from(!was_busy);
        }
    }
    report.publish = Figures::of(took);
    reader.end()?;
    drop(publisher);
    scene.participant.leave();
    Ok(())
}
