//! Which kinds of memory this process knows.
//!
//! `host`, `sim` and (with the feature of the same name) `cuda` are there from the beginning. Another crate adds its own with
//! [`register`], before the first endpoint that uses it is created; see `docs/memory-domains.md`.

use super::host::HostDomain;
use super::simulated::SimulatedDevices;
use super::{DomainError, DomainId, MemoryDomain};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Makes the memory domains of one kind.
pub trait DomainFactory: Send + Sync {
    /// The domain that a user calls `kind:instance`; `instance` is empty where nothing stands behind the kind.
    ///
    /// # Errors
    /// [`DomainError::Malformed`] or [`DomainError::NotAvailable`].
    fn resolve(&self, instance: &str) -> Result<Arc<dyn MemoryDomain>, DomainError>;

    /// The domain with an id that another process wrote.
    ///
    /// # Errors
    /// [`DomainError::NotAvailable`] where this process cannot reach that memory.
    fn open(&self, id: DomainId) -> Result<Arc<dyn MemoryDomain>, DomainError>;
}

struct Known {
    factories: BTreeMap<String, Arc<dyn DomainFactory>>,
    open: HashMap<DomainId, Arc<dyn MemoryDomain>>,
}

fn known() -> &'static Mutex<Known> {
    static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let host: Arc<dyn DomainFactory> = Arc::new(Host);
        let simulated: Arc<dyn DomainFactory> = Arc::new(SimulatedDevices);
        let factories = [("host", host), ("sim", simulated)];
        #[cfg_attr(not(feature = "cuda"), allow(unused_mut))]
        let mut factories: BTreeMap<_, _> =
            factories.into_iter().map(|(kind, factory)| (kind.to_owned(), factory)).collect();
        #[cfg(feature = "cuda")]
        factories.insert(super::cuda::KIND.to_owned(), Arc::new(super::cuda::CudaDevices) as Arc<dyn DomainFactory>);
        Mutex::new(Known { factories, open: HashMap::new() })
    })
}

/// Registers the domains of a kind for the whole process.
///
/// # Errors
/// [`DomainError::Malformed`] where the kind is not one to eight characters of `a` to `z` and `_`;
/// [`DomainError::Registered`] where it is there already.
pub fn register(kind: &str, factory: Arc<dyn DomainFactory>) -> Result<(), DomainError> {
    if DomainId::new(kind, 0).is_none() {
        return Err(DomainError::Malformed { text: kind.to_owned() });
    }
    let mut known = known().lock().unwrap_or_else(PoisonError::into_inner);
    if known.factories.contains_key(kind) {
        return Err(DomainError::Registered { kind: kind.to_owned() });
    }
    known.factories.insert(kind.to_owned(), factory);
    Ok(())
}

/// The kinds there are, in alphabetical order.
pub fn kinds() -> Vec<String> {
    known().lock().unwrap_or_else(PoisonError::into_inner).factories.keys().cloned().collect()
}

fn factory(kind: &str, text: &str) -> Result<Arc<dyn DomainFactory>, DomainError> {
    let factory = known().lock().unwrap_or_else(PoisonError::into_inner).factories.get(kind).cloned();
    factory.ok_or_else(|| DomainError::UnknownKind { text: text.to_owned(), known: kinds().join(", ") })
}

/// Of several that open a domain at once, the first one's is everybody's.
fn remember(domain: Arc<dyn MemoryDomain>) -> Arc<dyn MemoryDomain> {
    let mut known = known().lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(known.open.entry(domain.id()).or_insert(domain))
}

/// The domain that a user calls `text`: `host`, `sim:0`, `cuda:0`, `cuda:GPU-8f2c...`.
///
/// # Errors
/// See [`DomainError`].
pub fn resolve(text: &str) -> Result<Arc<dyn MemoryDomain>, DomainError> {
    let (kind, instance) = text.split_once(':').unwrap_or((text, ""));
    if DomainId::new(kind, 0).is_none() || text.ends_with(':') {
        return Err(DomainError::Malformed { text: text.to_owned() });
    }
    // Not under the lock: a factory may take its time, or look for other domains.
    Ok(remember(factory(kind, text)?.resolve(instance)?))
}

/// The domain with this id.
///
/// # Errors
/// See [`DomainError`].
pub fn get(id: DomainId) -> Result<Arc<dyn MemoryDomain>, DomainError> {
    if let Some(open) = known().lock().unwrap_or_else(PoisonError::into_inner).open.get(&id) {
        return Ok(Arc::clone(open));
    }
    Ok(remember(factory(&id.kind(), &id.to_string())?.open(id)?))
}

struct Host;

impl DomainFactory for Host {
    fn resolve(&self, instance: &str) -> Result<Arc<dyn MemoryDomain>, DomainError> {
        if instance.is_empty() {
            Ok(Arc::new(HostDomain))
        } else {
            Err(DomainError::Malformed { text: format!("host:{instance}") })
        }
    }

    fn open(&self, id: DomainId) -> Result<Arc<dyn MemoryDomain>, DomainError> {
        if id.is_host() {
            Ok(Arc::new(HostDomain))
        } else {
            Err(DomainError::Malformed { text: id.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_found_by_name_and_by_id() {
        let sim = resolve("sim:5").expect("always there");
        assert_eq!(sim.id(), DomainId::new("sim", 5).unwrap());
        assert!(Arc::ptr_eq(&sim, &get(sim.id()).unwrap()), "one object per domain");
        assert_eq!(resolve("host").unwrap().id(), DomainId::HOST);
        assert_eq!(resolve("sim").unwrap().id(), DomainId::new("sim", 0).unwrap());
    }

    #[test]
    fn what_is_not_there_is_said_so() {
        for text in ["", ":", "sim:", "host:1", "SIM:0", "sim:x", "sim:-1", "sim:16777216"] {
            assert!(matches!(resolve(text), Err(DomainError::Malformed { .. })), "{text}");
        }
        let unknown = resolve("tape:0").map(|domain| domain.id()).expect_err("no such kind");
        assert!(unknown.to_string().contains("host, sim"), "{unknown}");
        let twice = register("sim", Arc::new(Host)).expect_err("there already");
        assert_eq!(twice, DomainError::Registered { kind: "sim".into() });
    }
}
