//! The shared vocabulary: what the stages of the path pass to one another.

pub mod answer;
pub mod embed;
pub mod id;
pub mod money;
pub mod part;
pub mod request;
pub mod time;
pub mod usage;
