//! Base URLs: what is accepted is what will be called, without a parser's leniency in between.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An accepted base URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BaseUrl {
    /// Scheme and host in lower case, no trailing slash.
    pub(super) text: String,
    /// Without port.
    pub(super) host: String,
}

/// Checks a base URL: https, or http to a loopback or private host; no credentials, query or fragment.
///
/// The rules are narrower than the URL standard on purpose: spellings that a lenient parser would repair into another
/// host (backslashes, numbers as addresses, percent-encoded hosts, missing slashes) are refused.
pub(super) fn parse(text: &str) -> Result<BaseUrl, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it must start with https://")?;
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err("it must start with https://"),
    };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic())
        || rest.contains(['\\', '"', '<', '>', '^', '`', '{', '|', '}'])
    {
        return Err("it holds spaces or characters that do not belong in a URL");
    }
    if rest.contains('@') {
        return Err("credentials do not belong in a URL; use api_key: secret://NAME");
    }
    if rest.contains(['?', '#']) {
        return Err("a base URL has no query (?) and no fragment (#)");
    }
    let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let (host, port) = authority_parts(authority)?;
    let private = is_host(&host)?;
    if !secure && !private {
        return Err("it must be https; http is only for loopback and private hosts");
    }
    let path = path.trim_end_matches('/');
    if path.contains("//")
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
        || encodes_dots(path)
    {
        return Err("its path has empty, `.` or `..` segments");
    }
    let scheme = if secure { "https" } else { "http" };
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    Ok(BaseUrl { text: format!("{scheme}://{host}{port}{path}"), host })
}

/// `%2e` is a dot to a URL parser.
fn encodes_dots(path: &str) -> bool {
    path.to_ascii_lowercase().contains("%2e")
}

fn authority_parts(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let after_host = if authority.starts_with('[') { authority.find(']').unwrap_or(0) } else { 0 };
    let colon = authority.get(after_host..).and_then(|rest| rest.find(':')).map(|at| at + after_host);
    let Some((host, port)) = colon.and_then(|at| authority.split_at_checked(at)) else {
        return Ok((authority.to_ascii_lowercase(), None));
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse::<u16>() {
        Ok(port) if port > 0 && all_digits => Ok((host.to_ascii_lowercase(), Some(port))),
        _ => Err("its port is not a number from 1 to 65535"),
    }
}

/// Whether a host is loopback or private; an error if it is not a host.
fn is_host(host: &str) -> Result<bool, &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return address.map(is_private_v6).ok_or("its host is not an IPv6 address");
    }
    const NOT_A_HOST: &str = "its host is not a host name or address";
    let labels: Vec<&str> = host.split('.').collect();
    let label_fits = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
    };
    if host.len() > 253 || !labels.iter().all(label_fits) {
        return Err(NOT_A_HOST);
    }
    let last = labels.last().copied().unwrap_or_default();
    // A URL parser reads a host that ends in a number as an IPv4 address, in octal and hexadecimal too.
    if last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit()) {
        let address: Ipv4Addr = host.parse().map_err(|_| NOT_A_HOST)?;
        return Ok(address.is_loopback() || address.is_private());
    }
    // Names of one label resolve only within a private network (`http://ollama:11434` in a container network).
    Ok(labels.len() == 1 || matches!(last, "localhost" | "local" | "internal"))
}

/// Loopback and unique local (fc00::/7, RFC 4193) addresses.
fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unique_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_urls_are_kept_without_their_trailing_slash() {
        for (text, kept) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
            ("HTTPS://API.example.com//", "https://api.example.com"),
            ("https://api.example.com:8443/a/b", "https://api.example.com:8443/a/b"),
            ("https://[2606:4700::1]/v1", "https://[2606:4700::1]/v1"),
            ("http://localhost:11434/v1", "http://localhost:11434/v1"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
            ("http://10.1.2.3/v1", "http://10.1.2.3/v1"),
            ("http://192.168.0.9", "http://192.168.0.9"),
            ("http://ollama:11434", "http://ollama:11434"),
            ("http://gpu.lab.internal/v1", "http://gpu.lab.internal/v1"),
            ("https://api.example.com/v1/Org_A/~x", "https://api.example.com/v1/Org_A/~x"),
        ] {
            assert_eq!(parse(text).map(|url| url.text).as_deref(), Ok(kept), "{text}");
        }
    }

    #[test]
    fn bad_urls_are_refused() {
        for text in [
            "",
            "api.openai.com/v1",
            "//api.openai.com",
            "ftp://a.example",
            "https:/a.example",
            "https://",
            "https:///v1",
            "http://api.openai.com/v1",
            "http://8.8.8.8",
            "http://169.254.169.254",
            "http://[2606:4700::1]",
            "http://[fe80::1]",
            "http://172.32.0.1",
            "https://user:pw@a.example",
            "https://a.example@evil.example",
            "https://a.example/v1?key=x",
            "https://a.example/#x",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:+80",
            "https://a.example:",
            "https://a.example:http",
            "https://a..example",
            "https://.example",
            "https://-a.example",
            "https://a b.example",
            "https://a.example\\v1",
            "https://a%2eexample",
            "https://é.example",
            "http://0x7f.1",
            "http://2130706433",
            "http://127.1",
            "http://127.0.0.01",
            "https://1.2.3.4.5",
            "https://[::1",
            "https://[::g]",
            "https://[]",
            "https://a.example/../b",
            "https://a.example/%2E%2e/b",
            "https://a.example/a//b",
            "https://a.example/\n",
            "https://a.example./v1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_a_fixed_point(text in "(https?://)?[a-z0-9.:/@%\\[\\]-]{0,30}|.{0,40}") {
            if let Ok(url) = parse(&text) {
                prop_assert_eq!(parse(&url.text), Ok(url));
            }
        }
    }
}
