//! Addresses, and where a redirect leads. A redirect must never lead from https to http.

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

use super::FetchError;

/// An address that can be asked: http or https, a host, and nobody's password.
pub(super) fn address(url: &str) -> Result<Uri, FetchError> {
    let wrong = || FetchError::Url { url: without_user(url) };
    let uri: Uri = url.trim().parse().map_err(|_| wrong())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong());
    }
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    Ok(uri)
}

/// Where the server sends us.
pub(super) fn next(from: &Uri, location: Option<&str>) -> Result<Uri, FetchError> {
    let refuse = |reason| {
        let to = without_user(location.unwrap_or_default());
        FetchError::Redirect { url: from.to_string(), to, reason }
    };
    let location = location.filter(|location| !location.is_empty());
    let location = location.ok_or_else(|| refuse("it does not say where"))?;
    let next =
        address(&absolute(from, location)).map_err(|_| refuse("this is not an address that can be asked"))?;
    if is_https(from) && !is_https(&next) {
        return Err(refuse("what was asked for by https is not taken by http"));
    }
    Ok(next)
}

/// Whether what one server may see the other may see: the same one, or the same host by TLS from now on.
pub(super) fn is_same_server(from: &Uri, next: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().unwrap_or_default().to_ascii_lowercase();
    let becomes_tls = !is_https(from) && is_https(next) && from.port().is_none() && next.port().is_none();
    host(from) == host(next)
        && (becomes_tls || (is_https(from) == is_https(next) && port(from) == port(next)))
}

pub(super) fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if is_https(uri) { 443 } else { 80 })
}

fn absolute(from: &Uri, location: &str) -> String {
    let location = location.split('#').next().unwrap_or_default();
    if location.contains("://") {
        return location.to_string();
    }
    let scheme = from.scheme_str().unwrap_or_default();
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    let server = from.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let path = from.path_and_query().map(PathAndQuery::path).unwrap_or_default();
    if location.starts_with('/') {
        return format!("{scheme}://{server}{location}");
    }
    if location.starts_with('?') {
        return format!("{scheme}://{server}{path}{location}");
    }
    let directory = path.rsplit_once('/').map(|(directory, _)| directory).unwrap_or_default();
    format!("{scheme}://{server}{directory}/{location}")
}

/// For messages: what stands before an `@` in the authority may be a password.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_string() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
    format!("{scheme}://{server}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str) -> Uri {
        address(url).unwrap()
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_user() {
        for url in
            ["http://a.example", "https://a.example:8443/x?y=1", "http://[::1]:80/", "http://10.0.0.1/a"]
        {
            assert!(address(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "a.example/x",
            "ftp://a.example/x",
            "http://",
            "http:///x",
            "file:///etc/passwd",
            "http://a b/",
        ] {
            assert!(matches!(address(url), Err(FetchError::Url { .. })), "{url}");
        }
        for url in ["https://user:secret@a.example/x", "https://user:sec@ret@a.example"] {
            let error = address(url).unwrap_err().to_string();
            assert!(error.contains("https://a.example"), "{error}");
            assert!(!error.contains("secret") && !error.contains("ret@"), "{error}");
        }
    }

    #[test]
    fn a_location_is_understood_as_browsers_do() {
        let from = uri("http://a.example:81/dir/file?q=1");
        for (location, expected) in [
            ("http://b.example/x", "http://b.example/x"),
            ("//b.example/x", "http://b.example/x"),
            ("/x?z=2", "http://a.example:81/x?z=2"),
            ("other", "http://a.example:81/dir/other"),
            ("?z=2#part", "http://a.example:81/dir/file?z=2"),
        ] {
            assert_eq!(next(&from, Some(location)).unwrap().to_string(), expected, "{location}");
        }
        assert_eq!(next(&uri("http://a.example"), Some("x")).unwrap().to_string(), "http://a.example/x");
    }

    #[test]
    fn some_redirects_are_refused() {
        let from = uri("https://a.example/x");
        for location in [
            None,
            Some(""),
            Some("http://a.example/x"),
            Some("ftp://a.example/x"),
            Some("https://u:secret@a.example/"),
        ] {
            let error = next(&from, location).unwrap_err();
            assert!(matches!(error, FetchError::Redirect { .. }), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn another_server_is_another_host_or_port_or_less_than_tls() {
        for (from, next, same) in [
            ("http://a.example/x", "http://A.example/y", true),
            ("http://a.example/x", "http://a.example:80/y", true),
            ("http://a.example/x", "https://a.example/x", true),
            ("https://a.example/x", "https://a.example:443/x", true),
            ("http://a.example/x", "http://b.example/x", false),
            ("http://a.example/x", "http://a.example:81/x", false),
            ("http://a.example:81/x", "https://a.example/x", false),
            ("http://a.example/x", "https://a.example:8443/x", false),
            ("https://a.example/x", "http://a.example/x", false),
        ] {
            assert_eq!(is_same_server(&uri(from), &uri(next)), same, "{from} {next}");
        }
    }
}
