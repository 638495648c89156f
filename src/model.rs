//! The shared vocabulary: what the stages of the path pass to one another.

pub mod id;
pub mod money;
pub mod time;
pub mod usage;
