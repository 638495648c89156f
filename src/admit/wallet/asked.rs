//! What a request and the wallet say to one another.

use crate::{
    admit::limit::Amounts,
    model::id::{CustomerId, KeyId},
};

/// A request, as far as a lease is concerned.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Whose object.
    pub customer: &'a CustomerId,
    /// Whose key.
    pub key: &'a KeyId,
    /// What decides which limits apply: one lease is for requests that agree in it.
    pub kind: &'a str,
    /// Whether it is for an end user.
    pub user: bool,
    /// The most it can take.
    pub amounts: Amounts,
}

/// What a request that was admitted here must say when it asks the object for more.
#[derive(Clone, Debug, PartialEq)]
pub enum Extension {
    /// It is covered: nobody has to be asked.
    Covered,
    /// Ask, naming the lease and what was taken from it.
    Ask(Option<(String, Amounts)>),
}
