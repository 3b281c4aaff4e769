//! The cookies of the console: the session, which no script can read and no other site sends, and the language. Pure.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::api::rest::Language;

/// Over TLS: `__Host-` binds it to this host (RFC 6265bis, section 4.1.3.2).
const SECURE_SESSION: &str = "__Host-obsteward";
const SESSION: &str = "obsteward";
const LANGUAGE: &str = "obsteward-language";
/// Seconds for which a language is remembered: a year.
const LANGUAGE_SECONDS: u64 = 31_536_000;

/// The token of the session; `secure`: the client speaks TLS. `None`: there is none, or there are several, of which one was
/// planted.
pub fn session(headers: &HeaderMap, secure: bool) -> Option<SecretString> {
    once(headers, session_name(secure)).filter(|token| !token.is_empty()).map(SecretString::from)
}

/// The cookie that keeps a session for so many seconds.
pub fn set_session(token: &SecretString, seconds: u64, secure: bool) -> Option<HeaderValue> {
    set(session_name(secure), token.expose_secret(), seconds, secure)
}

/// The cookie that ends it.
pub fn clear_session(secure: bool) -> Option<HeaderValue> {
    set(session_name(secure), "", 0, secure)
}

/// The language that was chosen, or that which the browser wants.
pub fn language(headers: &HeaderMap) -> Language {
    once(headers, LANGUAGE).and_then(chosen).unwrap_or_else(|| Language::of(headers))
}

/// The language of this word.
pub fn chosen(word: &str) -> Option<Language> {
    [Language::English, Language::Chinese].into_iter().find(|language| self::word(*language) == word)
}

/// As it is kept and chosen.
pub const fn word(language: Language) -> &'static str {
    match language {
        Language::English => "en",
        Language::Chinese => "zh",
    }
}

/// The cookie that keeps a language.
pub fn set_language(language: Language, secure: bool) -> Option<HeaderValue> {
    set(LANGUAGE, word(language), LANGUAGE_SECONDS, secure)
}

const fn session_name(secure: bool) -> &'static str {
    if secure { SECURE_SESSION } else { SESSION }
}

fn once<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut named = pairs.filter(|(given, _)| *given == name).map(|(_, value)| value);
    let first = named.next();
    first.filter(|_| named.next().is_none())
}

fn set(name: &str, value: &str, seconds: u64, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&cookie).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn the_session_is_the_one_cookie_of_its_name() {
        let of = |lines: &[&'static str], secure| session(&sent(lines), secure).map(|it| it.expose_secret().to_owned());
        assert_eq!(of(&["a=b; obsteward=x.y"], false).as_deref(), Some("x.y"));
        assert_eq!(of(&["a=b", "obsteward=x.y"], false).as_deref(), Some("x.y"));
        assert_eq!(of(&["obsteward=x.y"], true), None, "a cookie that was set in plaintext proves nothing over TLS");
        assert_eq!(of(&["__Host-obsteward=x.y; obsteward=z"], true).as_deref(), Some("x.y"));
        assert_eq!(of(&["obsteward=x.y; obsteward=z"], false), None);
        assert_eq!(of(&["obsteward="], false), None);
        assert_eq!(of(&[], false), None);
    }

    #[test]
    fn a_session_is_kept_from_scripts_and_other_sites() {
        let token = SecretString::from("x.y");
        let text = |secure| set_session(&token, 60, secure).unwrap().to_str().unwrap().to_owned();
        assert_eq!(text(false), "obsteward=x.y; Path=/; Max-Age=60; HttpOnly; SameSite=Strict");
        assert_eq!(text(true), "__Host-obsteward=x.y; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
        assert!(clear_session(true).unwrap().to_str().unwrap().starts_with("__Host-obsteward=; Path=/; Max-Age=0;"));
        let mut headers = sent(&["obsteward-language=en"]);
        headers.insert("accept-language", HeaderValue::from_static("zh"));
        assert_eq!(language(&headers), Language::English);
        assert_eq!(language(&HeaderMap::new()), Language::Chinese);
    }
}
