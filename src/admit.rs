//! Admission: may this request be paid for, and what is set aside for it.
//!
//! [`ledger`] is the authority: the state machine one Durable Object per customer hosts; `node` is one node of
//! its tree. [`wire`] is what the Worker and
//! the object say to one another. [`bound`] computes the upper bound that is held.

pub mod bound;
pub mod ledger;
mod node;
pub mod window;
pub mod wire;
