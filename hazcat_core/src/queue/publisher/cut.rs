//! Going on after somebody has cut a file short ([`crate::sys::bus_error`]).
//!
//! A segment is made anew under the same index, with an id of its own: the chunks in use stay in use, their messages are lost to
//! whoever has not read them, and a loan that lies in it cannot be published. A topic's file cannot be made anew by one of its
//! endpoints: they fail until they are created again.

use super::{history_words, PublishError, Publisher, State};
use crate::domain::{AllocateError, DomainAllocator};
use crate::history::HistoryView;
use crate::payload::chunk::HEADER_BYTES;
use crate::queue::loan::RawLoan;
use crate::sys::bus_error;

impl Publisher {
    /// Finds out whether the loan can be published, once anything in this process was found to be cut.
    #[cold]
    pub(super) fn check_cut(&self, state: &mut State, loan: &RawLoan) -> Result<(), PublishError> {
        let cut = || PublishError::Cut { path: self.topic.path().to_path_buf() };
        if self.topic.is_cut() {
            return Err(cut());
        }
        if bus_error::cuts() != state.cuts {
            // Where there is no memory for a new segment, the next loan says so.
            let _ = self.renew_cut(state);
        }
        let at = state.pool.allocator.address(&loan.allocation);
        let is_there = at.is_some_and(|at| std::ptr::eq(at.wrapping_add(HEADER_BYTES), loan.ptr.as_ptr()));
        if loan.on_device || is_there && !state.pool.allocator.is_cut(loan.allocation.segment) {
            return Ok(());
        }
        Err(cut())
    }

    /// Makes anew what was cut short of this publisher's segments.
    #[cold]
    pub(super) fn renew_cut(&self, state: &mut State) -> Result<(), AllocateError> {
        // Before the look: what is cut from here on is found next time.
        let cuts = bus_error::cuts();
        let Some(record) = self.topic.publisher(self.index) else { return Ok(()) };
        while let Some(renewed) = state.pool.renew_one_cut(record)? {
            let words = history_words(state.history, &state.pool.allocator);
            if state.history.is_none_or(|(allocation, _)| allocation.segment != renewed) {
                continue;
            }
            // SAFETY: the words lie in the publisher's first segment, which stays mapped as long as `state` lives.
            let Some(history) = words.and_then(|words| HistoryView::new(unsafe { &*words })) else { continue };
            for chunk in state.pool.published().filter(|chunk| chunk.allocation.segment != renewed) {
                history.write(chunk.number, chunk.message);
            }
        }
        state.cuts = cuts;
        Ok(())
    }
}
