//! Admission: may this request be paid for, and what is set aside for it.
//!
//! [`ledger`] is the authority: the state machine one Durable Object per customer hosts; `node` is one node of
//! its tree, [`limit`] what a limit says, `counter` what is counted against it. [`wallet`] is an isolate's half: it admits
//! from slices that the authority has booked for it. [`wire`] is what the Worker and the object say to one another.
//! [`bound`] computes the upper bound that is held.

pub mod bound;
mod counter;
pub mod ledger;
pub mod limit;
mod node;
pub mod wallet;
pub mod wire;
