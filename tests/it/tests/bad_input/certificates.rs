//! Certificates that are past, early, another authority's, unregistered or of the wrong kind, at every
//! process that speaks mutual TLS; and connections without one.

use std::time::Duration;

use xinqiao_identity::pki::{Authority, Validity};
use xinqiao_it::{
    Consortium, Kind, People,
    people::{BANK, BUREAUS, HOME, REGULATOR},
    raw::{self, reason},
};
use xinqiao_rpc::{FaultView, Identity, Role};

use crate::{Complaints, State, check};

/// How often a refused client asks until it is told why.
const TRIES: usize = 40;

/// Tries each bad certificate at each kind of process.
pub(crate) async fn check_all(consortium: &Consortium, complaints: &mut Complaints) {
    let people = consortium.people();
    let mut state = State::of(&people).await;
    let own = people.authority();
    let now = time::OffsetDateTime::now_utc();
    let foreign = Authority::create("Another consortium", Validity::days_from(now, 30)).unwrap();

    let bank = (BANK, Role::Agent);
    let gateway = (BUREAUS[2], Role::Gateway);
    for (whom, who, method, wrong_kind) in [
        (
            (BUREAUS[0], Kind::Node),
            gateway,
            "LedgerService/GetStatus",
            None,
        ),
        (
            (REGULATOR, Kind::Observer),
            gateway,
            "LedgerService/GetStatus",
            None,
        ),
        (
            (HOME, Kind::Gateway),
            bank,
            "DirectoryService/GetDirectory",
            Some((BANK, Role::Operator)),
        ),
        (
            (HOME, Kind::Gateway),
            gateway,
            "DeliveryService/RelayPart",
            Some((BANK, Role::Agent)),
        ),
        (
            (HOME, Kind::Holder),
            (HOME, Role::Gateway),
            "DeliveryService/RelayPart",
            Some((BANK, Role::Agent)),
        ),
    ] {
        let path = format!("/xinqiao.v1.{method}");
        let place = format!("{method} at {}/{}", whom.0, whom.1.as_str());
        let expired = people.issued(&own, who, -10, -1);
        let early = people.issued(&own, who, 1, 10);
        let others = people.issued(&foreign, who, -1, 10);
        let unregistered = people.issued(&own, who, -1, 10);
        let mut rows = vec![
            (
                "expired",
                expired,
                "CERTIFICATE_EXPIRED",
                "expired or is not valid yet",
            ),
            // TLS has one alert for both; the sentence says both.
            (
                "not yet valid",
                early,
                "CERTIFICATE_EXPIRED",
                "expired or is not valid yet",
            ),
            (
                "another authority's",
                others,
                "CERTIFICATE_UNTRUSTED",
                "refused our certificate",
            ),
            ("unregistered", unregistered, "CERTIFICATE_UNKNOWN", ""),
        ];
        if let Some((org, role)) = wrong_kind {
            let other = people.identity(org, role);
            rows.push(("of another kind", other, "CERTIFICATE_ORG_MISMATCH", ""));
        }
        for (what, identity, expected, says) in rows {
            let row = format!("a certificate that is {what}, {place}");
            refused(
                &people,
                &identity,
                whom,
                &path,
                (&row, expected, says),
                complaints,
            )
            .await;
        }
        let row = format!("no certificate, {place}");
        let mut got = String::new();
        for _ in 0..TRIES {
            got = without_certificate(&people, consortium, whom, &path).await;
            if got == "CERTIFICATE_MISSING" || got == "an answer" {
                break;
            }
        }
        check(complaints, &row, "CERTIFICATE_MISSING", &got);
    }
    state.is_unchanged(complaints, "bad certificates").await;
}

async fn refused(
    people: &People,
    identity: &Identity,
    whom: (&str, Kind),
    path: &str,
    (row, expected, says): (&str, &str, &str),
    complaints: &mut Complaints,
) {
    // The server closes the connection right after its alert, and a busy client may notice the close
    // first: then it does not know why. Whatever it is told, it is never let in.
    let mut got = (String::new(), String::new());
    for _ in 0..TRIES {
        let channel = people.connect_as(identity, whom);
        match raw::call(&channel, path, Vec::new(), None).await {
            Ok(_) => return complaints.push(format!("{row}: was let in")),
            Err(status) => got = (reason(&status), FaultView::from_status(&status).message),
        }
        if got.0 == expected {
            break;
        }
    }
    check(complaints, row, expected, &got.0);
    if !got.1.contains(says) {
        complaints.push(format!("{row}: {:?} does not say {says:?}", got.1));
    }
}

/// A connection that trusts the consortium's authority and shows no certificate of its own.
async fn without_certificate(
    people: &People,
    consortium: &Consortium,
    (org, kind): (&str, Kind),
    path: &str,
) -> String {
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
        tonic::Request::new(Vec::new()),
        path.parse().unwrap(),
        raw::Raw,
    );
    match call.await {
        Ok(_) => "an answer".to_owned(),
        Err(status) => reason(&status),
    }
}
