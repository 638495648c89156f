//! What stands between a provider's stream and a client's.

use super::meter::{Listener, Meaning, Seen, Translator};
use crate::{
    dialect::openai_chat::stream::{Filter as UsageFilter, Meter},
    refusal::Refusal,
};

/// Watches a stream that the runtime passes on by itself.
#[derive(Debug)]
pub enum Watch {
    /// Chat.
    Chat(Meter),
    /// Any other dialect.
    Other(Listener),
}

impl Watch {
    /// Takes bytes, and tells what they said.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Meaning> {
        match self {
            Self::Chat(meter) => meter.push(bytes).into_iter().map(|(_, meaning)| meaning).collect(),
            Self::Other(listener) => listener.push(bytes),
        }
    }

    /// The end of the bytes.
    pub fn finish(&mut self) {
        match self {
            Self::Chat(meter) => {
                meter.finish();
            }
            Self::Other(listener) => listener.finish(),
        }
    }

    /// What has gone by.
    #[must_use]
    pub fn into_seen(self) -> Seen {
        match self {
            Self::Chat(meter) => meter.seen,
            Self::Other(listener) => listener.seen,
        }
    }
}

/// Every read of the stream goes through it.
#[derive(Debug)]
pub enum Filter {
    /// Chat to chat, without the usage chunk nobody asked for.
    Usage(UsageFilter),
    /// From one dialect to another.
    Translator(Translator),
    /// The bytes as they are: somebody else reads along.
    Passing(Listener),
}

impl Filter {
    /// Bytes in, bytes out; an unfinished event waits for its rest.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.push_judging(bytes).0
    }

    /// The same, and what the events said.
    pub fn push_judging(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<Meaning>) {
        match self {
            Self::Usage(filter) => filter.push_judging(bytes),
            Self::Translator(translator) => translator.push_judging(bytes),
            Self::Passing(listener) => (bytes.to_vec(), listener.push(bytes)),
        }
    }

    /// The end of the bytes: what is left to be sent.
    pub fn finish(&mut self) -> Vec<u8> {
        match self {
            Self::Usage(filter) => filter.finish(),
            Self::Translator(translator) => translator.finish(),
            Self::Passing(listener) => {
                listener.finish();
                Vec::new()
            }
        }
    }

    /// What has gone by.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        match self {
            Self::Usage(filter) => &filter.meter.seen,
            Self::Translator(translator) => translator.seen(),
            Self::Passing(listener) => &listener.seen,
        }
    }

    /// Whether the stream is more than is read: it is to be broken off.
    #[must_use]
    pub fn too_much(&self) -> bool {
        self.seen().too_much
    }

    /// The last event of a stream that broke, if this filter writes the client's events itself.
    pub fn fail(&mut self, refusal: &Refusal) -> Option<Vec<u8>> {
        match self {
            Self::Translator(translator) => Some(translator.fail(refusal)),
            Self::Usage(_) | Self::Passing(_) => None,
        }
    }
}
