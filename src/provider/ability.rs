//! What providers can do, for the table in docs/providers.md and for whoever chooses among them.

/// Something a provider's API takes, with at least one of its chat models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Functions the model may call.
    Tools,
    /// Several calls in one answer, and a switch for it.
    ParallelTools,
    /// Images in messages.
    Images,
    /// Sound in messages.
    Audio,
    /// PDF files in messages.
    Pdf,
    /// An answer in the shape of a JSON schema.
    Schema,
    /// Thinking before the answer.
    Reasoning,
    /// A discount on repeated input.
    Cache,
    /// Probabilities of tokens.
    Logprobs,
    /// More than one answer to a request.
    Choices,
    /// A seed.
    Seed,
}

impl Ability {
    /// All of them, with the heading of their column.
    pub const ALL: [(Self, &str); 11] = [
        (Self::Tools, "tools"),
        (Self::ParallelTools, "parallel tools"),
        (Self::Images, "images"),
        (Self::Audio, "audio in"),
        (Self::Pdf, "PDF"),
        (Self::Schema, "JSON schema"),
        (Self::Reasoning, "reasoning"),
        (Self::Cache, "prompt cache"),
        (Self::Logprobs, "logprobs"),
        (Self::Choices, "n > 1"),
        (Self::Seed, "seed"),
    ];
}
