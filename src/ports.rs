//! What the core needs of the world. Nothing else may be awaited.
//!
//! One [`World`] belongs to one client request: it knows that request's provider call, its answer, its object. The edge
//! implements it over the runtime; tests implement it over plain memory, with failures.

use crate::{
    admit::{
        wallet::Wallet,
        wire::{Command, KeyRecord, Reply},
    },
    config::policy::Policy,
    idempotency::record::{Claim, Claimed},
    model::{
        id::{CustomerId, KeyDigest},
        time::Timestamp,
    },
    settle::shard::DEFAULT,
    stream::filter::Filter,
};
use serde_json::Value;
use std::{cell::RefCell, future::Future, pin::Pin, rc::Rc};

/// A part of the infrastructure did not do its work. The text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

/// A client's request, read whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientRequest {
    /// Upper case.
    pub method: String,
    /// Without query.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// What was found in the headers that may carry a key, in the order they are looked at.
    pub credentials: Vec<String>,
    /// `x-edgehold-metadata`.
    pub metadata: String,
    /// `idempotency-key`.
    pub idempotency_key: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The body was longer than accepted and was not read.
    pub too_large: bool,
}

/// A call to a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Absolute.
    pub url: String,
    /// Names and values; no credential among them.
    pub headers: Vec<(String, String)>,
    /// The credential, added by the edge; it never enters the core.
    pub credential: Option<Credential>,
    /// What to send.
    pub body: OutgoingBody,
    /// Until the headers of a stream, or the whole of another answer.
    pub timeout_ms: u64,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Whether the stream will be passed on untouched, so that the client's branch must be split off before peeking.
    pub untouched: bool,
}

/// Which secret goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Header name.
    pub header: String,
    /// What stands before it: `Bearer `.
    pub prefix: String,
    /// Name of the Worker secret, or of the binding.
    pub secret: String,
    /// How the secret becomes a credential.
    pub scheme: Scheme,
}

/// How a secret becomes a credential. What is not simply a header is made by the edge, call by call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// The header's value is the prefix and the secret.
    #[default]
    Header,
    /// The call is signed with AWS Signature Version 4; the secret is `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, and behind another
    /// colon a session's token. An API key of Bedrock's is shown as a bearer token instead. Header and prefix are not used.
    AwsSigV4 {
        /// `us-east-1`.
        region: String,
        /// `bedrock`.
        service: String,
    },
    /// The secret is a Google service account's key file (JSON); its access token is sent as a bearer token. Header and
    /// prefix are not used.
    GoogleServiceAccount {
        /// `https://www.googleapis.com/auth/cloud-platform`.
        scope: String,
    },
    /// No credential: `secret` names a binding of Workers AI's, which is run with the body's `model` and the rest of the body
    /// in place of a call over the network. Header and prefix are not used.
    Binding,
}

/// The body of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum OutgoingBody {
    /// The client's, as it came.
    AsReceived,
    /// An edited copy.
    Edited(Vec<u8>),
    /// Not sent anywhere: the edge plays this script (JSON) of the embedded mock.
    Played(String),
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// A whole answer.
    Answer {
        /// Head.
        head: Head,
        /// Body.
        body: Vec<u8>,
    },
    /// The headers of an event stream; the body is under way.
    Stream(Head),
    /// Nothing.
    Failed(SendFault),
}

/// Head of a provider's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: String,
    /// `retry-after`, as it came.
    pub retry_after: String,
    /// `x-request-id` or the like.
    pub upstream_id: String,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendFault {
    /// Connection refused, reset, name not found, TLS.
    Connect(String),
    /// Our time-out.
    Timeout,
    /// The Worker secret named by the configuration, or the binding, does not exist.
    SecretMissing(String),
    /// It cannot be made into a credential, or whoever gives tokens for it refuses: why, for the operator.
    CredentialUnusable(String),
    /// Whoever gives tokens did not answer in time: the provider was sent nothing.
    CredentialLate(String),
}

/// The next bytes of a stream under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peeked {
    /// Some bytes.
    Bytes(Vec<u8>),
    /// The end.
    End,
    /// The connection broke.
    Broken(String),
    /// Nothing in time.
    Timeout,
}

/// How a stream is passed on.
#[derive(Clone, Debug)]
pub enum Relay {
    /// The runtime passes the bytes on by itself; what it passed comes back at the end.
    Untouched,
    /// Every read goes through the filter; the bytes given are sent first.
    Filtered(Rc<RefCell<Filter>>, Vec<u8>),
}

/// How a relay ended. The client's stream is still open unless the client is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Why.
    pub end: RelayEnd,
    /// Of an untouched stream: all bytes behind those that were peeked.
    pub bytes: Vec<u8>,
}

/// Why a relay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// The provider closed its stream.
    End,
    /// The client left.
    ClientGone,
    /// The provider's connection broke.
    Broken(String),
    /// Nothing came for the idle time-out, or the total one was over.
    Timeout,
}

/// The body of an answer to the client.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerBody {
    /// Ours.
    Text(String),
    /// The provider's whole answer, untouched.
    Upstream,
}

/// A statement with its parameters: texts, numbers, null.
pub type Statement = (String, Vec<Value>);

/// Header names and values.
pub type Headers = Vec<(&'static str, String)>;

/// The world as one request sees it.
#[allow(async_fn_in_trait, reason = "an isolate has one thread; no future here needs to be Send")]
pub trait World {
    /// The time of the last event.
    fn now(&self) -> Timestamp;
    /// Fresh random bytes.
    fn random(&self) -> [u8; 16];
    /// A header of the client's request, by its lower-case name.
    fn header(&self, name: &str) -> Option<String>;
    /// A text variable of the deployment.
    fn variable(&self, name: &str) -> Option<String>;
    /// The policy in force, at most some seconds old.
    async fn policy(&self) -> Result<Rc<Policy>, Fault>;
    /// The record of a key: from memory, KV or the object. `fresh` asks the object.
    async fn key(
        &self,
        customer: &CustomerId,
        digest: &KeyDigest,
        fresh: bool,
    ) -> Result<Option<Rc<KeyRecord>>, Fault>;
    /// What this isolate has leased. Not to be entered again from within.
    fn wallet<T>(&self, run: impl FnOnce(&mut Wallet) -> T) -> T;
    /// Sees to it that somebody looks after the wallet: sends what it has to report, and hears the answers.
    fn keep_wallet(&self);
    /// Asks the customer's object and waits for its answer.
    async fn ledger(&self, customer: &CustomerId, command: &Command) -> Result<Reply, Fault>;
    /// Tells the customer's object, after the answer, with retries.
    fn settle(&self, customer: &CustomerId, command: &Command);
    /// Asks the record of an idempotency key whose the call is. If it is this request's (`New`), the answer given to it is
    /// told to the record, as [`crate::idempotency::is_kept`] says; one that is never given is given up.
    async fn claim(&self, place: &str, claim: &Claim) -> Result<Claimed, Fault>;
    /// Answers the client with the answer that the last claim found (`stored`, or still under way), and waits for its end.
    /// `abandoned` ends a stream whose owner did not end it.
    async fn replay(&self, stored: bool, abandoned: String);
    /// Calls a provider. Ends an earlier call that is still under way.
    async fn send(&self, call: Outgoing) -> Sent;
    /// Reads on in the stream under way.
    async fn peek(&self, timeout_ms: u64) -> Peeked;
    /// Ends the call under way.
    fn discard(&self);
    /// Waits.
    async fn sleep(&self, ms: u64);
    /// Answers the client.
    fn respond(&self, status: u16, headers: Headers, body: AnswerBody);
    /// Answers the client with the stream under way, and waits for its end.
    async fn relay(&self, headers: Headers, relay: Relay, idle_ms: u64, total_ms: u64) -> Relayed;
    /// Sends the last bytes of a relayed stream and closes it.
    fn end_stream(&self, tail: String);
    /// Runs SQL on the D1 database of a binding: one statement gives its rows as objects, several are one transaction.
    async fn sql_in(&self, database: &str, statements: &[Statement]) -> Result<Vec<Value>, Fault>;
    /// The same on the default database, which has what the operator wrote.
    async fn sql(&self, statements: &[Statement]) -> Result<Vec<Value>, Fault> {
        self.sql_in(DEFAULT, statements).await
    }
    /// Writes to KV.
    async fn publish(&self, name: &str, value: String) -> Result<(), Fault>;
    /// The policy changed here: what this isolate remembers is replaced.
    fn adopt_policy(&self, policy: Rc<Policy>);
    /// A key changed here: what this isolate remembers of it is forgotten.
    fn forget_key(&self, digest: &KeyDigest);
    /// Whether the runtime knows a time zone of this name.
    fn knows_zone(&self, zone: &str) -> bool;
    /// A line in the operator's log. Never prompts, never credentials.
    fn log(&self, message: &str);
}

/// A future in a place of its own. What most requests never do stays out of the future that every request moves and
/// polls, and the compiler cannot merge its code into it.
pub fn aside<'a, T>(future: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(future)
}
