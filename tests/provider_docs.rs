//! The tables of providers in docs/providers.md and docs/config.md are what the registry says.
//!
//! `EDGEHOLD_WRITE=1 cargo test --test provider_docs` writes them.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use edgehold::provider::{
    Auth, PROVIDERS, Provider,
    ability::Ability,
    endpoint::{EmbedFormat, Endpoint, Format, RerankFormat},
};
use std::fmt::Write as _;

const BEGIN: &str = "<!-- providers: begin (made by tests/provider_docs.rs) -->";
const END: &str = "<!-- providers: end -->";

/// Replaces what stands between the marks, or says that it is stale.
fn hold(path: &str, table: &str) {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{path} has no mark"));
    let (_, tail) = rest.split_once(END).unwrap_or_else(|| panic!("{path} has no second mark"));
    let made = format!("{head}{BEGIN}\n\n{table}\n{END}{tail}");
    if std::env::var_os("EDGEHOLD_WRITE").is_some() {
        std::fs::write(&path, made).unwrap();
    } else {
        assert_eq!(text, made, "{path} is stale: run EDGEHOLD_WRITE=1 cargo test --test provider_docs");
    }
}

fn ticked(text: &str) -> String {
    format!("`{text}`")
}

/// Names beside one another, or a dash.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(ticked).collect::<Vec<_>>().join(" ")
}

fn configured(kind: &Provider) -> String {
    let base_url = match kind.base_url {
        Some(_) if kind.name == "mock" => "within the gateway".to_owned(),
        Some(_) if kind.binding().is_some() => "through the binding".to_owned(),
        Some(url) => ticked(url),
        None => "must be given".to_owned(),
    };
    let settings = kind.settings.iter().map(|setting| match setting.default {
        Some(default) => format!("`{}` ({default})", setting.name),
        None => ticked(setting.name),
    });
    let aliases =
        kind.aliases.iter().map(|(alias, model)| format!("`{alias}` → `{model}`")).collect::<Vec<_>>();
    let cap = edgehold::provider::OutputCapField::ALL
        .iter()
        .find(|(_, field)| *field == kind.output_cap_field)
        .map_or("", |(name, _)| name);
    format!(
        "| `{}` | {base_url} | {} | {} | `{cap}` | {} | {} |",
        kind.name,
        settings.collect::<Vec<_>>().join(", "),
        kind.secret.map_or("none".to_owned(), |secret| format!("`secret://{secret}`")),
        listed(kind.model_prefixes.iter().copied()),
        aliases.join(", "),
    )
}

fn format_name(endpoint: &Endpoint) -> String {
    match endpoint.dialect {
        Format::Chat(dialect) => format!("chat `{}`", dialect.name()),
        Format::WorkersAi => "chat `workers_ai`".to_owned(),
        Format::CountTokens(dialect) => format!("count tokens `{}`", dialect.name()),
        Format::Embed(EmbedFormat::OpenAi) => "embed `openai`".to_owned(),
        Format::Embed(EmbedFormat::Gemini) => "embed `gemini`".to_owned(),
        Format::Embed(EmbedFormat::Cohere) => "embed `cohere`".to_owned(),
        Format::Embed(EmbedFormat::WorkersAi) => "embed `workers_ai`".to_owned(),
        Format::Rerank(RerankFormat::Cohere) => "rerank `cohere`".to_owned(),
        Format::Rerank(RerankFormat::Jina) => "rerank `jina`".to_owned(),
    }
}

fn endpoints(kind: &Provider) -> String {
    let auth = match kind.auth {
        Auth::Header { name, prefix } => format!("`{name}: {prefix}…`"),
        Auth::AwsSigV4 { service } => format!("AWS Signature V4 for `{service}`"),
        Auth::GoogleServiceAccount { .. } => "service account".to_owned(),
        Auth::Binding { name } => format!("none: the binding `{name}`"),
    };
    let asked = kind
        .endpoints
        .iter()
        .map(|endpoint| match endpoint.path_stream {
            Some(stream) => format!("{}: `{}`, streams `{stream}`", format_name(endpoint), endpoint.path),
            None => format!("{}: `{}`", format_name(endpoint), endpoint.path),
        })
        .collect::<Vec<_>>()
        .join("<br>");
    let source = if kind.source.is_empty() { String::new() } else { format!("[docs]({})", kind.source) };
    format!(
        "| `{}` | {asked} | {auth} | {} | {source} |",
        kind.name,
        kind.health.map_or(String::new(), ticked)
    )
}

fn abilities(kind: &Provider) -> String {
    let cell = |ability| match kind.able(ability) {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    let cells = Ability::ALL.iter().map(|(ability, _)| cell(*ability)).collect::<Vec<_>>().join(" | ");
    let usage = if kind.stream_usage { "if asked" } else { "always" };
    format!("| `{}` | {cells} | {usage} |", kind.name)
}

fn table(columns: &[&str], row: impl Fn(&Provider) -> String) -> String {
    let mut out = format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for kind in PROVIDERS {
        let _ = writeln!(out, "{}", row(kind));
    }
    out
}

#[test]
fn the_kinds_in_the_configuration_reference_are_those_of_the_registry() {
    let columns = [
        "kind",
        "`base_url`",
        "settings",
        "`api_key`",
        "`output_cap_field`",
        "claims models that begin with",
        "built-in aliases",
    ];
    hold("docs/config.md", &table(&columns, configured));
}

#[test]
fn the_page_of_providers_is_what_the_registry_says() {
    let mut text = table(&["kind", "what it is asked, where", "credential", "health", "source"], endpoints);
    let columns: Vec<&str> = std::iter::once("kind")
        .chain(Ability::ALL.iter().map(|(_, heading)| *heading))
        .chain(["usage in streams"])
        .collect();
    let _ = write!(text, "\n## What they can do\n\n{}", table(&columns, abilities));
    hold("docs/providers.md", &text);
}
