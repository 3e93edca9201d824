//! Pages of a scan: which one is next, and where in which one a scan stands.

use reqwest::header::{HeaderMap, LINK};
use url::Url;

use super::client::Answer;
use crate::error::Error;
use crate::json::Json;
use crate::mapping::{Endpoint, Paging};

/// Longest cursor or link, in bytes.
const MAX_CURSOR: usize = 2048;

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// The first one, where pages have no numbers.
    First,
    /// By number.
    Number(u64),
    /// By what the page before gave.
    Next(String),
}

/// Where a scan stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) page: Page,
    /// Records of that page that are done with.
    pub(super) records: u64,
    /// Steps of the record after those that were given.
    pub(super) steps: u64,
    /// Records of the pages before, and of this one.
    pub(super) count: u64,
    /// The largest code so far.
    pub(super) last: String,
}

impl Position {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, text) = match &self.page {
            Page::First => ("f", String::new()),
            Page::Number(number) => ("n", number.to_string()),
            Page::Next(text) => ("t", text.clone()),
        };
        let Self {
            records,
            steps,
            count,
            last,
            ..
        } = self;
        format!("{kind} {records} {steps} {count} {last} {text}").into_bytes()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let read = || {
            let text = std::str::from_utf8(bytes).ok()?;
            let parts: Vec<&str> = text.splitn(6, ' ').collect();
            let [kind, records, steps, count, last, text] = parts.as_slice() else {
                return None;
            };
            Some(Self {
                page: match *kind {
                    "f" => Page::First,
                    "n" => Page::Number(text.parse().ok()?),
                    "t" => Page::Next((*text).to_owned()),
                    _ => return None,
                },
                records: records.parse().ok()?,
                steps: steps.parse().ok()?,
                count: count.parse().ok()?,
                last: (*last).to_owned(),
            })
        };
        read().ok_or_else(|| Error::Checkpoint {
            reason: "it is not of this kind of source".to_owned(),
        })
    }
}

impl Page {
    pub(super) fn first(paging: &Paging) -> Self {
        match paging {
            Paging::Page { first, .. } => Self::Number(*first),
            Paging::Cursor { .. } | Paging::Link { .. } => Self::First,
        }
    }

    /// Its address.
    pub(super) fn url(&self, endpoint: &Endpoint) -> Result<Url, Error> {
        let bad = || Error::Unavailable("the interface's next link is no address".to_owned());
        let mut url = Url::parse(&endpoint.scan_url).map_err(|_| bad())?;
        match (self, &endpoint.paging) {
            (Self::Number(number), Paging::Page { parameter, .. }) => {
                url.query_pairs_mut()
                    .append_pair(parameter, &number.to_string());
            }
            (Self::Next(cursor), Paging::Cursor { parameter, .. }) => {
                url.query_pairs_mut().append_pair(parameter, cursor);
            }
            (Self::Next(link), Paging::Link { .. }) => {
                let next = url.join(link).map_err(|_| bad())?;
                // Whoever answers for the interface must not send our key elsewhere.
                if next.origin() != url.origin() {
                    let message = "the interface's next link leads to another server".to_owned();
                    return Err(Error::Unsafe(message));
                }
                url = next;
            }
            _ => {}
        }
        Ok(url)
    }

    /// The page after this one, by its answer; none: this is the last.
    pub(super) fn next(&self, paging: &Paging, answer: &Answer) -> Result<Option<Self>, Error> {
        let text = match paging {
            Paging::Page { .. } => {
                return Ok(match self {
                    Self::Number(number) => number.checked_add(1).map(Self::Number),
                    Self::First | Self::Next(_) => None,
                });
            }
            Paging::Link { next: None } => link(&answer.headers),
            Paging::Cursor { next, .. } | Paging::Link { next: Some(next) } => {
                match answer.body.at(next) {
                    Some(Json::Text(text) | Json::Number(text)) => Some(text.clone()),
                    _ => None,
                }
            }
        };
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if text.len() > MAX_CURSOR {
            return Err(Error::Limit {
                what: "bytes in the interface's next cursor or link".to_owned(),
                limit: MAX_CURSOR as u64,
            });
        }
        let next = Self::Next(text);
        if next == *self {
            let message = "the interface's next page is the same one again".to_owned();
            return Err(Error::Unavailable(message));
        }
        Ok(Some(next))
    }
}

/// `Link: <…>; rel="next"` (RFC 8288).
fn link(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(",<").flat_map(|part| part.split(", <")))
        .find_map(|part| {
            let (target, parameters) = part.trim_start_matches('<').split_once('>')?;
            let next = parameters.split(';').any(|parameter| {
                let parameter = parameter.trim().to_ascii_lowercase();
                parameter
                    .strip_prefix("rel=")
                    .is_some_and(|rel| rel.trim_matches('"').split(' ').any(|rel| rel == "next"))
            });
            next.then(|| target.to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive() {
        for page in [
            Page::First,
            Page::Number(7),
            Page::Next("/next?after=a b c".to_owned()),
        ] {
            let position = Position {
                page,
                records: 3,
                steps: 1,
                count: 1003,
                last: "91350100M000100Y43".to_owned(),
            };
            let decoded = Position::decode(&position.encode()).expect("it is one");
            assert_eq!(decoded, position);
        }
        assert!(Position::decode(b"x 1 2 3 4 5").is_err());
        assert!(Position::decode(b"").is_err());
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        for (value, wanted) in [
            (
                "<https://a/b?page=2>; rel=\"next\"",
                Some("https://a/b?page=2"),
            ),
            (
                "<https://a/1>; rel=prev, </p/3>; title=\"x\"; rel=next",
                Some("/p/3"),
            ),
            ("<https://a/1>; rel=\"last next\"", Some("https://a/1")),
            ("<https://a/1>; rel=\"last\"", None),
            ("nonsense", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, value.parse().expect("a header's value"));
            assert_eq!(link(&headers).as_deref(), wanted, "{value}");
        }
    }
}
