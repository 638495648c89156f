//! The executor: one task for each client request, resumed by the operation it waits for.
//!
//! An operation ends in exactly one [`resume`], which polls the whole task it belongs to; so there is no waker and no
//! queue, and every poll happens in the request context the runtime expects.

use super::port;
use crate::model::time::Timestamp;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// How an operation ended. What code, text and bytes mean is the operation's.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static TASKS: RefCell<HashMap<u32, Task>> = RefCell::default();
    static WAITING: RefCell<HashMap<u32, Waiting>> = RefCell::default();
    static LAST_OP: Cell<u32> = const { Cell::new(0) };
    static NOW: Cell<i64> = const { Cell::new(0) };
}

enum Waiting {
    Open { task: u32 },
    Ended(Outcome),
}

/// The time of the event being handled.
pub(super) fn now() -> Timestamp {
    Timestamp(NOW.get())
}

/// Every entry from JavaScript brings the time along.
pub(super) fn set_now(now: f64) {
    NOW.set(now as i64);
}

/// Begins a task and runs it to its first wait.
pub(super) fn spawn(id: u32, task: impl Future<Output = ()> + 'static) {
    poll(id, Box::pin(task));
}

/// An operation has ended: its task goes on.
pub(super) fn resume(op: u32, outcome: Outcome) {
    let task = WAITING.with_borrow_mut(|waiting| match waiting.get_mut(&op) {
        Some(slot @ Waiting::Open { .. }) => match std::mem::replace(slot, Waiting::Ended(outcome)) {
            Waiting::Open { task } => Some(task),
            Waiting::Ended(_) => None,
        },
        _ => None,
    });
    let Some(id) = task else { return };
    // The task is taken out while it runs: what it calls may look at the table.
    if let Some(task) = TASKS.with_borrow_mut(|tasks| tasks.remove(&id)) {
        poll(id, task);
    }
}

fn poll(id: u32, mut task: Task) {
    match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(()) => {
            super::memory::drop_filter(id);
            port::done(id);
        }
        Poll::Pending => {
            TASKS.with_borrow_mut(|tasks| tasks.insert(id, task));
        }
    }
}

/// Starts an operation for a task and waits for its end.
pub(super) fn operation(task: u32, start: impl FnOnce(u32)) -> Operation {
    let op = LAST_OP.get().wrapping_add(1);
    LAST_OP.set(op);
    WAITING.with_borrow_mut(|waiting| waiting.insert(op, Waiting::Open { task }));
    start(op);
    Operation { op }
}

/// An operation under way.
pub(super) struct Operation {
    op: u32,
}

impl Future for Operation {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Outcome> {
        WAITING.with_borrow_mut(|waiting| match waiting.get_mut(&self.op) {
            Some(Waiting::Ended(outcome)) => Poll::Ready(std::mem::take(outcome)),
            _ => Poll::Pending,
        })
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        WAITING.with_borrow_mut(|waiting| waiting.remove(&self.op));
    }
}
