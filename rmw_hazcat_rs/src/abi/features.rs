//! What this middleware is called and what it can do.

use std::ffi::c_char;

use crate::error::{guard, Failure};
use crate::ffi;
use crate::identity;
use crate::logging::{self, Severity};

/// "rmw_hazcat_rs", always at the same address.
#[no_mangle]
pub extern "C" fn rmw_get_implementation_identifier() -> *const c_char {
    identity::identifier()
}

/// "cdr".
#[no_mangle]
pub extern "C" fn rmw_get_serialization_format() -> *const c_char {
    identity::serialization_format()
}

/// Whether an optional feature is there.
#[no_mangle]
pub extern "C" fn rmw_feature_supported(feature: ffi::rmw_feature_t) -> bool {
    // Publications are numbered without gaps, receptions likewise; types are not discovered, nor taken dynamically.
    feature == ffi::RMW_FEATURE_MESSAGE_INFO_PUBLICATION_SEQUENCE_NUMBER
        || feature == ffi::RMW_FEATURE_MESSAGE_INFO_RECEPTION_SEQUENCE_NUMBER
}

/// Sets the severity from which on the middleware's own messages are shown.
#[no_mangle]
pub extern "C" fn rmw_set_log_severity(severity: ffi::rmw_log_severity_t) -> ffi::rmw_ret_t {
    guard(|| {
        logging::init();
        logging::set_level(match severity {
            ffi::RMW_LOG_SEVERITY_DEBUG => Severity::Debug,
            ffi::RMW_LOG_SEVERITY_INFO => Severity::Info,
            ffi::RMW_LOG_SEVERITY_WARN => Severity::Warn,
            ffi::RMW_LOG_SEVERITY_ERROR => Severity::Error,
            ffi::RMW_LOG_SEVERITY_FATAL => Severity::Fatal,
            other => return Err(Failure::invalid(format!("{} is not a severity", other.0))),
        });
        Ok(())
    })
}
