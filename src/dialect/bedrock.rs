//! Bedrock's Converse.
