//! Images, documents, videos and sound: a format word, and bytes in base64 or a place in S3.

use super::OWN;
use crate::model::part::{Media, MediaKind, Source};
use serde_json::{Map, Value, json};

/// Format words and their media types; of several for one type, the first is written.
const FORMATS: &[(MediaKind, &str, &str)] = &[
    (MediaKind::Image, "png", "image/png"),
    (MediaKind::Image, "jpeg", "image/jpeg"),
    (MediaKind::Image, "jpeg", "image/jpg"),
    (MediaKind::Image, "gif", "image/gif"),
    (MediaKind::Image, "webp", "image/webp"),
    (MediaKind::Document, "pdf", "application/pdf"),
    (MediaKind::Document, "csv", "text/csv"),
    (MediaKind::Document, "doc", "application/msword"),
    (MediaKind::Document, "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (MediaKind::Document, "xls", "application/vnd.ms-excel"),
    (MediaKind::Document, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (MediaKind::Document, "html", "text/html"),
    (MediaKind::Document, "txt", "text/plain"),
    (MediaKind::Document, "md", "text/markdown"),
    (MediaKind::Video, "mp4", "video/mp4"),
    (MediaKind::Video, "mov", "video/quicktime"),
    (MediaKind::Video, "mkv", "video/x-matroska"),
    (MediaKind::Video, "webm", "video/webm"),
    (MediaKind::Video, "flv", "video/x-flv"),
    (MediaKind::Video, "mpeg", "video/mpeg"),
    (MediaKind::Video, "mpg", "video/mpg"),
    (MediaKind::Video, "wmv", "video/x-ms-wmv"),
    (MediaKind::Video, "wmv", "video/wmv"),
    (MediaKind::Video, "three_gp", "video/3gpp"),
    (MediaKind::Audio, "mp3", "audio/mpeg"),
    (MediaKind::Audio, "mp3", "audio/mp3"),
    (MediaKind::Audio, "wav", "audio/wav"),
    (MediaKind::Audio, "wav", "audio/x-wav"),
    (MediaKind::Audio, "opus", "audio/opus"),
    (MediaKind::Audio, "aac", "audio/aac"),
    (MediaKind::Audio, "flac", "audio/flac"),
    (MediaKind::Audio, "ogg", "audio/ogg"),
    (MediaKind::Audio, "mp4", "audio/mp4"),
    (MediaKind::Audio, "webm", "audio/webm"),
    (MediaKind::Audio, "m4a", "audio/x-m4a"),
];

/// How base64 of a file begins, for media whose type nobody said.
const BEGINNINGS: &[(MediaKind, &str, &str)] = &[
    (MediaKind::Image, "iVBORw0KGgo", "png"),
    (MediaKind::Image, "/9j/", "jpeg"),
    (MediaKind::Image, "R0lGOD", "gif"),
    (MediaKind::Image, "UklGR", "webp"),
    (MediaKind::Document, "JVBERi0", "pdf"),
];

/// The member of a content block that holds media of this kind.
pub(super) const fn member(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
        MediaKind::Document => "document",
    }
}

/// The kind whose member this is.
pub(super) fn kind_of(member: &str) -> Option<MediaKind> {
    let kinds = [MediaKind::Image, MediaKind::Audio, MediaKind::Video, MediaKind::Document];
    kinds.into_iter().find(|kind| self::member(*kind) == member)
}

/// What is in such a member; `None` if it says more than the canonical form can (a bucket's owner, a format of its own): it
/// is carried as it is then.
pub(super) fn read(kind: MediaKind, block: &Map<String, Value>) -> Option<Media> {
    let documents = kind == MediaKind::Document;
    let known = |name: &str| {
        matches!(name, "format" | "source") || documents && matches!(name, "name" | "context" | "citations")
    };
    if !block.keys().all(|name| known(name)) {
        return None;
    }
    let mime = match block.get("format") {
        None => None,
        Some(format) => {
            let format = format.as_str()?;
            let of_format = FORMATS.iter().find(|(of_kind, word, _)| *of_kind == kind && *word == format);
            Some(of_format?.2.to_owned())
        }
    };
    let source = block.get("source")?.as_object()?;
    let (name, value) = source.iter().next().filter(|_| source.len() == 1)?;
    let source = match name.as_str() {
        "bytes" => Source::Base64(value.as_str()?.to_owned()),
        "text" if documents => Source::Text(value.as_str()?.to_owned()),
        "s3Location" => {
            let location = value.as_object().filter(|location| location.len() == 1)?;
            Source::File(OWN, location.get("uri")?.as_str()?.to_owned())
        }
        _ => return None,
    };
    let mut media = Media::new(kind, source, mime);
    let text = |name: &str| match block.get(name) {
        None => Some(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())),
    };
    media.name = text("name")?;
    media.context = text("context")?;
    if let Some(citations) = block.get("citations") {
        let citations = citations.as_object().filter(|citations| citations.len() == 1)?;
        media.citations = citations.get("enabled")?.as_bool()?;
    }
    Some(media)
}

/// The block; `Err` says why there can be none. `own`: the caller speaks this dialect.
pub(super) fn write(media: &Media, own: bool) -> Result<Map<String, Value>, &'static str> {
    let mut block = Map::new();
    let source = match &media.source {
        Source::Base64(data) => json!({"bytes": data}),
        Source::File(OWN, uri) => json!({"s3Location": {"uri": uri}}),
        Source::Url(url) if url.starts_with("s3://") => json!({"s3Location": {"uri": url}}),
        Source::Url(_) => return Err("Bedrock fetches nothing from the web; send the data itself"),
        Source::File(..) => return Err("a file of another provider"),
        // The words themselves go where the caller's dialect has them too, or where citations count their characters; as a
        // text file every model takes them.
        Source::Text(text) if own || media.citations => json!({"text": text}),
        Source::Text(text) => json!({"bytes": super::content::base64_of(text.as_bytes())}),
    };
    let own_text = matches!(&media.source, Source::Text(_)) && media.mime.is_none();
    // The service's model does not require a document's format, so a caller who speaks Bedrock may have left it out.
    if !(own && own_text)
        && let Some(format) = format(media)?
    {
        block.insert("format".to_owned(), json!(format));
    }
    if media.kind == MediaKind::Document {
        // The name is required; whoever writes a request makes it the only one of its kind.
        block.insert("name".to_owned(), json!(document_name(media.name.as_deref().unwrap_or_default())));
    }
    block.insert("source".to_owned(), source);
    if media.kind == MediaKind::Document {
        if let Some(context) = &media.context {
            block.insert("context".to_owned(), json!(context));
        }
        if media.citations {
            block.insert("citations".to_owned(), json!({"enabled": true}));
        }
    }
    Ok(block)
}

/// The format word: from the media type, the first bytes, or the name's ending.
fn format(media: &Media) -> Result<Option<&'static str>, &'static str> {
    let kind = media.kind;
    if let Some(mime) = media.mime.as_deref() {
        let plain = mime.split(';').next().unwrap_or(mime).trim().to_ascii_lowercase();
        if let Some((_, word, _)) =
            FORMATS.iter().find(|(of_kind, _, known)| *of_kind == kind && *known == plain)
        {
            return Ok(Some(word));
        }
        if kind == MediaKind::Document && plain.starts_with("text/") {
            return Ok(Some("txt"));
        }
    }
    if matches!(&media.source, Source::Text(_)) {
        return Ok(Some("txt"));
    }
    if let Source::Base64(data) = &media.source
        && let Some((_, _, word)) =
            BEGINNINGS.iter().find(|(of_kind, bytes, _)| *of_kind == kind && data.starts_with(bytes))
    {
        return Ok(Some(word));
    }
    let place = match &media.source {
        Source::Url(place) | Source::File(_, place) => Some(place),
        Source::Base64(_) | Source::Text(_) => media.name.as_ref(),
    };
    let ending =
        place.and_then(|place| place.rsplit_once('.')).map(|(_, ending)| ending.to_ascii_lowercase());
    if let Some(ending) = ending {
        let ending = if ending == "jpg" { "jpeg" } else { &ending };
        if let Some((_, word, _)) =
            FORMATS.iter().find(|(of_kind, word, _)| *of_kind == kind && *word == ending)
        {
            return Ok(Some(word));
        }
    }
    match (&media.source, kind) {
        (Source::File(..), MediaKind::Document) if media.mime.is_none() => Ok(None),
        _ => Err("a format that Bedrock does not take"),
    }
}

/// Longest name of a document.
const NAME_CHARS_MAX: usize = 200;

/// Letters, digits, single spaces, hyphens, parentheses and square brackets; nothing else may be in a document's name
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html>, read 2026-11-21).
fn document_name(name: &str) -> String {
    let mut clean = String::with_capacity(name.len());
    for letter in name.trim().chars().take(NAME_CHARS_MAX) {
        match letter {
            ' ' | '\t' | '\n' | '\r' => {
                if !clean.ends_with(' ') {
                    clean.push(' ');
                }
            }
            '-' | '(' | ')' | '[' | ']' => clean.push(letter),
            letter if letter.is_ascii_alphanumeric() => clean.push(letter),
            _ => clean.push('-'),
        }
    }
    if clean.is_empty() { "Document".to_owned() } else { clean }
}

/// Gives each document of a request a name of its own: two of one name are refused.
pub(super) fn name_apart(block: &mut Map<String, Value>, taken: &mut Vec<String>) {
    let Some(name) = block.get("name").and_then(Value::as_str).map(str::to_owned) else { return };
    let mut apart = name.clone();
    let mut number = 2;
    while taken.contains(&apart) {
        let kept: String = name.chars().take(NAME_CHARS_MAX - 8).collect();
        apart = format!("{kept} {number}");
        number += 1;
    }
    taken.push(apart.clone());
    block.insert("name".to_owned(), json!(apart));
}
