//! The checks and conversions a request passes, a file each. Their order
//! stands in [`stack`](crate::stack).

pub mod admit;
pub mod authenticate;
pub mod authorize;
pub mod contain;
pub mod deadline;
pub mod decode;
mod encode;
pub mod ip_allowlist;
pub mod meter;
pub mod observe;
pub mod origin;
pub mod rate_limit;
pub mod received;
pub mod reception;
pub mod respond;
