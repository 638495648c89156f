//! Streams without I/O: bytes in, events out; any split of the bytes gives the same events.

pub mod aws_eventstream;
pub mod filter;
pub mod meter;
pub mod sse;
