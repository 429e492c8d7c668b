//! Which addresses of devices are on loan in this process, so that a program can be told where a message lies that it was handed.

use std::ffi::c_void;
use std::sync::Mutex;

use hazcat_core::domain::DomainId;

use super::lock;

struct Lent {
    from: usize,
    bytes: usize,
    domain: DomainId,
}

/// Few at a time; it allocates only when it grows.
static LENT: Mutex<Vec<Lent>> = Mutex::new(Vec::new());

/// Notes a loan in device memory. The same message may be on loan from several subscriptions.
pub fn begin(from: *const c_void, bytes: usize, domain: DomainId) {
    lock(&LENT).push(Lent { from: from as usize, bytes, domain });
}

/// Strikes one loan at this address out.
pub fn end(from: *const c_void) {
    let mut lent = lock(&LENT);
    if let Some(at) = lent.iter().position(|loan| loan.from == from as usize) {
        lent.swap_remove(at);
    }
}

/// The domain of the message on loan in which this address lies.
pub fn domain_of(address: *const c_void) -> Option<DomainId> {
    let inside = |loan: &&Lent| (address as usize).checked_sub(loan.from).is_some_and(|offset| offset < loan.bytes);
    lock(&LENT).iter().find(inside).map(|loan| loan.domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_on_loan_as_often_as_it_was_lent() {
        let at = |address: usize| address as *const c_void;
        let domain = DomainId::new("test", 1).unwrap();
        let other = DomainId::new("test", 2).unwrap();
        begin(at(0x7000), 16, domain);
        begin(at(0x7000), 16, domain);
        begin(at(0x7010), 1, other);
        assert_eq!(domain_of(at(0x6fff)), None);
        assert_eq!((domain_of(at(0x7000)), domain_of(at(0x700f))), (Some(domain), Some(domain)));
        assert_eq!((domain_of(at(0x7010)), domain_of(at(0x7011))), (Some(other), None));
        end(at(0x7000));
        assert_eq!(domain_of(at(0x7000)), Some(domain));
        end(at(0x7000));
        end(at(0x7000));
        end(at(0x7010));
        assert_eq!((domain_of(at(0x7000)), domain_of(at(0x7010))), (None, None));
    }
}
