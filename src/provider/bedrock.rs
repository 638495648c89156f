//! Amazon Bedrock's Converse. <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
//! (read 2026-11-21). Requests are signed, or show an API key of Bedrock's if that is what the secret holds
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html>, read 2026-11-21); a stream is AWS's binary
//! event stream.
//!
//! Model names are ids (`amazon.nova-lite-v1:0`), inference profiles (`us.anthropic.…`, `global.…`) or ARNs.

use super::{
    Auth, Elsewhere, OPENAI_COMPATIBLE, Provider, Setting,
    ability::Ability,
    endpoint::{Endpoint, Format},
};
use crate::dialect::Dialect;

/// Amazon Bedrock.
pub static BEDROCK: Provider = Provider {
    name: "bedrock",
    base_url: Some("https://bedrock-runtime.{region}.amazonaws.com"),
    elsewhere: &[
        Elsewhere {
            setting: "region",
            is: "cn-north-1",
            base_url: "https://bedrock-runtime.cn-north-1.amazonaws.com.cn",
        },
        Elsewhere {
            setting: "region",
            is: "cn-northwest-1",
            base_url: "https://bedrock-runtime.cn-northwest-1.amazonaws.com.cn",
        },
    ],
    settings: &[Setting {
        name: "region",
        expected: "an AWS region, such as us-east-1",
        default: None,
        one_of: &[],
    }],
    secret: Some("AWS_CREDENTIALS"),
    auth: Auth::AwsSigV4 { service: "bedrock" },
    endpoints: &[Endpoint::streamed(
        Format::Chat(Dialect::Bedrock),
        "/model/{model}/converse",
        "/model/{model}/converse-stream",
    )],
    stream_usage: false,
    health: None,
    can: &[
        Ability::Tools,
        Ability::Images,
        Ability::Pdf,
        Ability::Schema,
        Ability::Reasoning,
        Ability::Cache,
    ],
    cannot: &[Ability::Logprobs, Ability::Choices, Ability::Seed],
    source: "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
    ..OPENAI_COMPATIBLE
};
