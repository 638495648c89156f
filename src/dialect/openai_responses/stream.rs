//! A stream of Responses events to and from the steps of an answer.

mod items;
mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;
