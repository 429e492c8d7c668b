//! Deadlines: that messages come at least so often.
//!
//! Both sides count alike, as DDS middlewares do: time begins with the first message, every period that passes without
//! another counts once, and goes on counting when the last publisher has gone. Times are nanoseconds of the monotonic clock.

/// Counts the periods without a message.
#[derive(Debug)]
pub(super) struct Deadline {
    period: u64,
    /// The last message, or the end of the last period that was counted; `None` before the first message.
    mark: Option<u64>,
    /// Messages before this do not count: nobody was watching.
    since: u64,
}

impl Deadline {
    /// Begins with the first message after `now`.
    pub(super) fn new(period: u64, now: u64) -> Self {
        Self { period: period.max(1), mark: None, since: now }
    }

    /// Notes that the last message was published at `latest` (zero: none was).
    pub(super) fn saw(&mut self, latest: u64, now: u64) {
        let latest = latest.min(now);
        if latest != 0 && latest >= self.since && self.mark.is_none_or(|mark| latest > mark) {
            self.mark = Some(latest);
        }
    }

    /// Looks how things are at `now`, the last message having been published at `latest` (zero: none was); answers how
    /// many periods have passed in vain since the last look, and when to look again.
    pub(super) fn look(&mut self, latest: u64, now: u64) -> (u64, u64) {
        self.saw(latest, now);
        let Some(mark) = self.mark else {
            // Whenever the first message comes, its period does not end before the next look.
            return (0, now.saturating_add(self.period));
        };
        let missed = now.saturating_sub(mark) / self.period;
        let mark = mark.saturating_add(missed.saturating_mul(self.period));
        self.mark = Some(mark);
        (missed, mark.saturating_add(self.period))
    }
}

#[cfg(test)]
mod tests {
    use super::Deadline;

    #[test]
    fn nothing_is_missed_before_the_first_message() {
        let mut deadline = Deadline::new(10, 1000);
        assert_eq!(deadline.look(0, 1010), (0, 1020));
        assert_eq!(deadline.look(990, 1020), (0, 1030), "before anybody watched");
        assert_eq!(deadline.look(1024, 1030), (0, 1034));
        assert_eq!(deadline.look(1024, 1034), (1, 1044));
    }

    #[test]
    fn every_period_counts_once_however_late_the_look() {
        let mut deadline = Deadline::new(10, 0);
        assert_eq!(deadline.look(100, 105), (0, 110));
        assert_eq!(deadline.look(107, 110), (0, 117));
        assert_eq!(deadline.look(107, 117), (1, 127));
        assert_eq!(deadline.look(107, 127), (1, 137));
        assert_eq!(deadline.look(107, 165), (3, 167));
        assert_eq!(deadline.look(166, 167), (0, 176), "a message ends the row");
        assert_eq!(deadline.look(50, 176), (1, 186), "an older one does not");
    }

    #[test]
    fn a_message_from_the_future_is_one_of_now() {
        let mut deadline = Deadline::new(10, 0);
        assert_eq!(deadline.look(u64::MAX, 100), (0, 110));
        assert_eq!(Deadline::new(u64::MAX, 0).look(1, 100), (0, u64::MAX));
    }
}
