//! Requests: who we are, how often we try, and how much we take.
//!
//! 429 and 5xx are tried again, after as long as `Retry-After` says or with pauses that double, while the deadline
//! lasts. Redirects are not followed: the key would go wherever they point. Bodies are counted while they come.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;
use url::Url;

use crate::error::Error;
use crate::json::{self, Json, Limits};
use crate::mapping::{Auth, Endpoint, SUBJECT_PLACE, is_local};
use crate::tls::{self, Issuers};

/// Pauses between tries begin with this and double.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What kept an answer from being had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// 404 or 410.
    NotThere,
    /// More than the limits allow.
    Bomb(String),
    /// No answer that could be read.
    Unavailable(String),
}

/// An answer.
pub(super) struct Answer {
    pub(super) body: Json,
    pub(super) headers: HeaderMap,
}

/// Asks one interface.
pub(super) struct Requests {
    client: Client,
    headers: HeaderMap,
    endpoint: Endpoint,
}

impl Requests {
    /// Reads secrets and prepares connections; asks nothing yet.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let near = |url: &str| {
            let url = Url::parse(url).ok();
            url.as_ref().and_then(Url::host_str).is_some_and(is_local)
        };
        let mut client = Client::builder();
        // A proxy reaches other machines, not this one.
        if near(&endpoint.scan_url) && near(&endpoint.fetch_url.replace(SUBJECT_PLACE, "0")) {
            client = client.no_proxy();
        }
        if let Some(path) = &endpoint.ca_file {
            client = client.tls_certs_only(Issuers::read(path)?.into_certificates());
        }
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(endpoint.timeout)
            .pool_max_idle_per_host(endpoint.max_concurrent)
            .user_agent(concat!("xinqiao/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| Error::Unavailable("no HTTP client can be set up".to_owned()))?;
        Ok(Self {
            client,
            headers: headers(&endpoint.auth)?,
            endpoint: endpoint.clone(),
        })
    }

    /// Asks until there is an answer or the deadline has passed.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.endpoint.deadline;
        let mut pause = FIRST_PAUSE;
        loop {
            let (why, wait) = match self.try_once(url, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(Tried::Failed(failure)) => return Err(failure),
                Err(Tried::Again { why, after }) => (why, after.unwrap_or(pause)),
            };
            if Instant::now() + wait >= deadline {
                return Err(Failure::Unavailable(format!(
                    "{why}, and deadline_ms is over"
                )));
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_once(&self, url: &Url, deadline: Instant) -> Result<Answer, Tried> {
        let until = deadline.min(Instant::now() + self.endpoint.timeout);
        match tokio::time::timeout_at(until, self.ask(url)).await {
            Ok(answer) => answer,
            Err(_) => Err(again("the interface did not answer within timeout_ms")),
        }
    }

    async fn ask(&self, url: &Url) -> Result<Answer, Tried> {
        let request = self.client.get(url.clone()).headers(self.headers.clone());
        let mut response = request.send().await.map_err(|e| {
            // It will be no other certificate in a moment.
            if let Some(why) = tls::refusal(&e) {
                let message = format!("no TLS connection to the interface can be made: {why}");
                return Tried::Failed(Failure::Unavailable(message));
            }
            again(if e.is_connect() {
                "no connection can be made"
            } else {
                "the connection broke off"
            })
        })?;
        let status = response.status();
        let failed = |message: String| Err(Tried::Failed(Failure::Unavailable(message)));
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(Tried::Failed(Failure::NotThere));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return failed(format!(
                    "the interface refuses who we are ({})",
                    status.as_u16()
                ));
            }
            status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                return Err(Tried::Again {
                    why: format!("the interface answers {}", status.as_u16()),
                    after: retry_after(response.headers()),
                });
            }
            status => return failed(format!("the interface answers {}", status.as_u16())),
        }
        let most = self.endpoint.max_body_bytes;
        let too_long = || {
            let message = format!("a body of more than {most} bytes");
            Tried::Failed(Failure::Bomb(message))
        };
        if response
            .content_length()
            .is_some_and(|length| length > most as u64)
        {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|_| again("the connection broke off in the middle of an answer"))?
        {
            if body.len() + chunk.len() > most {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        let limits = Limits {
            depth: self.endpoint.max_depth,
            values: self.endpoint.max_values,
        };
        let body = json::parse(&body, limits).map_err(|e| {
            Tried::Failed(if e.is_bomb() {
                Failure::Bomb(e.to_string())
            } else {
                Failure::Unavailable(format!("the answer is not JSON: {e}"))
            })
        })?;
        Ok(Answer {
            body,
            headers: response.headers().clone(),
        })
    }
}

enum Tried {
    Failed(Failure),
    Again {
        why: String,
        after: Option<Duration>,
    },
}

fn again(why: &str) -> Tried {
    Tried::Again {
        why: why.to_owned(),
        after: None,
    }
}

/// Seconds; a date would need a clock that agrees with the server's, and our own pauses do as well.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

fn headers(auth: &Auth) -> Result<HeaderMap, Error> {
    let (name, text, place) = match auth {
        Auth::None => return Ok(HeaderMap::new()),
        Auth::Bearer(place) => {
            let text = format!("Bearer {}", place.read()?.expose_secret());
            ("authorization", text, place)
        }
        Auth::Basic { user, password } => {
            use base64::Engine as _;
            let pair = format!("{user}:{}", password.read()?.expose_secret());
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            ("authorization", format!("Basic {pair}"), password)
        }
        Auth::Header { name, value } => {
            let text = value.read()?.expose_secret().to_owned();
            (name.as_str(), text, value)
        }
    };
    let bad = || Error::Secret {
        place: place.to_string(),
        message: "holds characters that no header may have".to_owned(),
    };
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
    let mut value = HeaderValue::from_str(&text).map_err(|_| bad())?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}
