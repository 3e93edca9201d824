//! Certificates that are past, early, another authority's, unregistered or of the wrong kind, at every
//! process that speaks mutual TLS; and connections without one.
//!
//! What TLS itself refuses, the client is told by an alert, and the server closes the connection right
//! after it: a busy client may see the close first, and then knows no reason. The server's log always has
//! it, told apart further than alerts can: past and not yet valid are one alert and two log lines.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use tonic::{Code, Status};
use xinqiao_identity::pki::{Authority, Validity};
use xinqiao_it::{
    Consortium, Kind, People,
    people::{BANK, BUREAUS, HOME, REGULATOR},
    raw::{self, reason},
};
use xinqiao_rpc::{FaultView, Identity, Role};

use crate::{Complaints, State, check, said};

/// How long a server may take to write its log.
const LOGGED: Duration = Duration::from_secs(10);

/// What a connection is refused with.
enum Refusal {
    /// By TLS: the reason that clients make of the alert, words of the sentence that they show, and words
    /// of the server's log.
    Alert(&'static str, &'static str, &'static str),
    /// By an answer to the call, with this reason.
    Answer(&'static str),
}

/// A process that speaks mutual TLS, who calls it rightfully, by what method, and whose certificate is good
/// but of a kind that it does not serve.
struct Row {
    whom: (&'static str, Kind),
    who: (&'static str, Role),
    method: &'static str,
    wrong_kind: Option<(&'static str, Role)>,
}

/// Tries each bad certificate at each kind of process.
pub(crate) async fn check_all(consortium: &Consortium, complaints: &mut Complaints) {
    let people = consortium.people();
    let mut state = State::of(&people).await;
    let own = people.authority();
    let now = time::OffsetDateTime::now_utc();
    let foreign = Authority::create("Another consortium", Validity::days_from(now, 30)).unwrap();

    for row in rows() {
        let Row {
            whom,
            who,
            method,
            wrong_kind,
        } = row;
        let place = format!("{method} at {}/{}", whom.0, whom.1.as_str());
        let mut bad = vec![
            (
                "expired",
                people.issued(&own, who, -10, -1),
                Refusal::Alert(
                    "CERTIFICATE_EXPIRED",
                    "expired or is not valid yet",
                    "certificate expired",
                ),
            ),
            (
                "not yet valid",
                people.issued(&own, who, 1, 10),
                Refusal::Alert(
                    "CERTIFICATE_EXPIRED",
                    "expired or is not valid yet",
                    "certificate not valid yet",
                ),
            ),
            (
                "another authority's",
                people.issued(&foreign, who, -1, 10),
                Refusal::Alert(
                    "CERTIFICATE_UNTRUSTED",
                    "refused our certificate",
                    "UnknownIssuer",
                ),
            ),
            (
                "unregistered",
                people.issued(&own, who, -1, 10),
                Refusal::Answer("CERTIFICATE_UNKNOWN"),
            ),
        ];
        if let Some((org, role)) = wrong_kind {
            let other = people.identity(org, role);
            let refusal = Refusal::Answer("CERTIFICATE_ORG_MISMATCH");
            bad.push(("of another kind", other, refusal));
        }
        let path = format!("/xinqiao.v1.{method}");
        let server = Server::of(consortium, whom);
        for (what, identity, refusal) in bad {
            let row = format!("a certificate that is {what}, {place}");
            let attempt = || call(&people, &identity, whom, &path);
            server.refuses(&row, attempt, &refusal, complaints).await;
        }
        let row = format!("no certificate, {place}");
        let refusal = Refusal::Alert(
            "CERTIFICATE_MISSING",
            "demands a client certificate",
            "peer sent no certificates",
        );
        let attempt = || without_certificate(&people, consortium, whom, &path);
        server.refuses(&row, attempt, &refusal, complaints).await;
    }
    state.is_unchanged(complaints, "bad certificates").await;
}

fn rows() -> Vec<Row> {
    let row = |whom, who, method, wrong_kind| Row {
        whom,
        who,
        method,
        wrong_kind,
    };
    let (bank, gateway) = ((BANK, Role::Agent), (BUREAUS[2], Role::Gateway));
    let status = "LedgerService/GetStatus";
    let relay = "DeliveryService/RelayPart";
    vec![
        row((BUREAUS[0], Kind::Node), gateway, status, None),
        row((BUREAUS[2], Kind::Node), gateway, status, None),
        row((REGULATOR, Kind::Observer), gateway, status, None),
        row(
            (HOME, Kind::Gateway),
            bank,
            "DirectoryService/GetDirectory",
            Some((BANK, Role::Operator)),
        ),
        row((HOME, Kind::Gateway), gateway, relay, Some(bank)),
        row(
            (HOME, Kind::Holder),
            (HOME, Role::Gateway),
            relay,
            Some(bank),
        ),
    ]
}

/// A process and its log.
struct Server {
    log: PathBuf,
}

impl Server {
    fn of(consortium: &Consortium, (org, kind): (&str, Kind)) -> Self {
        let config = consortium.people().config(org, kind);
        Self {
            log: config.with_extension("log"),
        }
    }

    /// Nobody is let in, the client is told as much as can be, and the log says why.
    async fn refuses<F>(
        &self,
        row: &str,
        attempt: impl Fn() -> F,
        refusal: &Refusal,
        complaints: &mut Complaints,
    ) where
        F: Future<Output = Result<(), Status>>,
    {
        let logged = self.log().len();
        let Err(status) = attempt().await else {
            return complaints.push(format!("{row}: was let in"));
        };
        match refusal {
            Refusal::Answer(expected) => check(complaints, row, expected, &said(&status)),
            Refusal::Alert(expected, says, logs) => {
                let view = FaultView::from_status(&status);
                let told = reason(&status) == *expected && view.message.contains(says);
                let closed = reason(&status) == "UPSTREAM_UNAVAILABLE";
                // An answer of a call has details: that would be too late, behind the handshake.
                if !(told || closed) || !status.details().is_empty() {
                    complaints.push(format!(
                        "{row}: expected {expected} or a closed connection, got {view}: {status:?}"
                    ));
                }
                self.says(row, logged, logs, complaints).await;
            }
        }
    }

    /// The log has these words in a line after so many bytes.
    async fn says(&self, row: &str, after: usize, words: &str, complaints: &mut Complaints) {
        let begun = Instant::now();
        loop {
            let log = self.log();
            let new = String::from_utf8_lossy(log.get(after..).unwrap_or_default());
            if new
                .lines()
                .any(|line| line.contains("tls accept error") && line.contains(words))
            {
                return;
            }
            if begun.elapsed() > LOGGED {
                let log = self.log.display();
                complaints.push(format!("{row}: {log} does not say {words:?} but: {new}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> Vec<u8> {
        std::fs::read(&self.log).unwrap()
    }
}

async fn call(
    people: &People,
    identity: &Identity,
    whom: (&str, Kind),
    path: &str,
) -> Result<(), Status> {
    let channel = people.connect_as(identity, whom);
    raw::call(&channel, path, Vec::new(), None).await.map(drop)
}

/// A call over a connection that trusts the consortium's authority and shows no certificate of its own.
async fn without_certificate(
    people: &People,
    consortium: &Consortium,
    (org, kind): (&str, Kind),
    path: &str,
) -> Result<(), Status> {
    let ca = std::fs::read_to_string(consortium.dir().join("ca/ca.pem")).unwrap();
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(ca))
        .domain_name("localhost");
    let uri = format!("https://{}", people.address(org, kind));
    let bare = tonic::transport::Endpoint::from_shared(uri)
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect_timeout(Duration::from_secs(5))
        .connect_lazy();
    let mut grpc = tonic::client::Grpc::new(bare);
    grpc.ready().await.unwrap();
    let call = grpc.unary(
        tonic::Request::new(Vec::<u8>::new()),
        path.parse().unwrap(),
        raw::Raw,
    );
    call.await.map(drop).map_err(|status| match status.code() {
        _ if reason(&status) == "CERTIFICATE_MISSING" => status,
        // What our own channel makes of a connection that ended under a call.
        Code::Cancelled | Code::Unknown => Status::unavailable(status.message()),
        _ => status,
    })
}
