//! Mutual TLS over real sockets: which certificates get a connection, and what the others are told.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use secrecy::ExposeSecret;
use time::{Duration, OffsetDateTime};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;
use xinqiao_identity::pki::{Authority, Issued, LeafRequest, Validity};
use xinqiao_rpc::tls::{channel, channel_to};
use xinqiao_rpc::{
    ExpectedPeer, FaultView, Identity, Limits, PeerIdentity, Reason, Role, RpcChannel,
    ServerBuilder,
};

static CA: LazyLock<Authority> = LazyLock::new(|| authority("Consortium CA"));
static OTHER_CA: LazyLock<Authority> = LazyLock::new(|| authority("Another CA"));

fn authority(name: &str) -> Authority {
    Authority::create(name, Validity::days_from(OffsetDateTime::now_utc(), 3650)).unwrap()
}

fn leaf(ca: &Authority, org: &str, role: Role) -> Issued {
    ca.issue(&LeafRequest::new(org, role, OffsetDateTime::now_utc()))
        .unwrap()
}

/// A leaf valid from and to so many days from now.
fn leaf_valid(ca: &Authority, from_days: i64, to_days: i64) -> Issued {
    let now = OffsetDateTime::now_utc();
    let mut request = LeafRequest::new("bureau-sh", Role::Gateway, now);
    request.validity = Validity {
        not_before: now + Duration::days(from_days),
        not_after: now + Duration::days(to_days),
    };
    ca.issue(&request).unwrap()
}

/// An identity that presents `issued` and trusts `ca`.
fn identity(issued: &Issued, ca: &Authority) -> Identity {
    Identity::from_pem(
        issued.cert_pem.clone(),
        issued.key_pem.expose_secret(),
        ca.cert_pem(),
    )
    .unwrap()
}

/// A service that answers who is calling, by its certificate.
#[derive(Clone)]
struct WhoAmI;

impl NamedService for WhoAmI {
    const NAME: &'static str = "xinqiao.test.WhoAmI";
}

impl Service<http::Request<Body>> for WhoAmI {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
        let answer = tower::service_fn(|request: Request<String>| async move {
            let peer = PeerIdentity::of_request(&request).map_err(|status| *status)?;
            Ok(Response::new(format!("{peer} {}", peer.fingerprint_hex())))
        });
        Box::pin(async move { Ok(grpc.unary(answer, request).await) })
    }
}

async fn serve(server: &Identity) -> String {
    let running = ServerBuilder::mutual_tls(server)
        .add_service(WhoAmI)
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .spawn(std::future::pending());
    format!("https://{}", running.local_addr())
}

async fn who_am_i(channel: RpcChannel) -> Result<String, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::from_error(Box::new(error)))?;
    let codec = ProstCodec::<String, String>::default();
    let path = "/xinqiao.test.WhoAmI/Ask".parse().unwrap();
    grpc.unary(Request::new(String::new()), path, codec)
        .await
        .map(Response::into_inner)
}

async fn check_refused(server: &Identity, client: &Identity, reason: Reason, says: &str) {
    let uri = serve(server).await;
    let status = who_am_i(channel(&uri, client, None).unwrap())
        .await
        .unwrap_err();
    let view = FaultView::from_status(&status);
    assert_eq!(view.reason, Some(reason), "{view:?} {status:?}");
    assert!(
        view.message.contains(says),
        "{:?} does not say {says:?}",
        view.message
    );
}

#[tokio::test]
async fn both_ends_know_each_other_by_their_certificates() {
    let agent = leaf(&CA, "bank-sz", Role::Agent);
    let server = identity(&leaf(&CA, "bureau-sh", Role::Gateway), &CA);
    let uri = serve(&server).await;
    let channel = channel(&uri, &identity(&agent, &CA), Some("bureau-sh")).unwrap();
    let expected = format!(
        "xinqiao://bank-sz/agent {}",
        hex::encode(agent.fingerprint_sha256)
    );
    assert_eq!(who_am_i(channel).await.unwrap(), expected);
    assert_eq!(server.own().to_string(), "xinqiao://bureau-sh/gateway");
}

#[tokio::test]
async fn a_client_with_a_bad_certificate_is_refused_and_told_why() {
    let server = identity(&leaf(&CA, "bureau-sh", Role::Gateway), &CA);
    let refused = async |client: Identity, reason, says: &str| {
        check_refused(&server, &client, reason, says).await;
    };
    let expired = identity(&leaf_valid(&CA, -10, -1), &CA);
    refused(
        expired,
        Reason::CertificateExpired,
        "refused our certificate: it has expired",
    )
    .await;
    let early = identity(&leaf_valid(&CA, 1, 10), &CA);
    refused(early, Reason::CertificateExpired, "or is not valid yet").await;
    let foreign = identity(&leaf(&OTHER_CA, "bank-sz", Role::Agent), &CA);
    refused(
        foreign,
        Reason::CertificateUntrusted,
        "refused our certificate",
    )
    .await;
}

#[tokio::test]
async fn a_server_with_a_bad_certificate_is_not_talked_to() {
    let client = identity(&leaf(&CA, "bank-sz", Role::Agent), &CA);
    let refused = async |server: Identity, reason, says: &str| {
        check_refused(&server, &client, reason, says).await;
    };
    let expired = identity(&leaf_valid(&CA, -10, -1), &CA);
    refused(
        expired,
        Reason::CertificateExpired,
        "server's certificate has expired",
    )
    .await;
    let early = identity(&leaf_valid(&CA, 1, 10), &CA);
    refused(early, Reason::CertificateNotYetValid, "is not valid yet").await;
    let foreign = identity(&leaf(&OTHER_CA, "bureau-sh", Role::Gateway), &CA);
    refused(foreign, Reason::CertificateUntrusted, "consortium CA").await;
}

#[tokio::test]
async fn a_member_is_not_taken_for_another_member_or_another_kind_of_process() {
    let server = identity(&leaf(&CA, "bureau-sh", Role::Holder), &CA);
    let client = identity(&leaf(&CA, "bank-sz", Role::Agent), &CA);
    let uri = serve(&server).await;
    let expect = |peer| channel_to(&uri, &client, peer, &Limits::default()).unwrap();
    for (peer, says) in [
        (
            ExpectedPeer::org("bureau-js"),
            Some("belongs to bureau-sh, expected was bureau-js"),
        ),
        (
            ExpectedPeer::org("bureau-sh").with_role(Role::Gateway),
            Some("is a holder"),
        ),
        (
            ExpectedPeer::any().with_role(Role::Gateway),
            Some("is a holder"),
        ),
        (ExpectedPeer::org("bureau-sh").with_role(Role::Holder), None),
        (ExpectedPeer::org("bureau-sh"), None),
        (ExpectedPeer::any(), None),
    ] {
        let answer = who_am_i(expect(peer.clone())).await;
        match says {
            None => assert!(answer.is_ok(), "{peer:?}: {answer:?}"),
            Some(says) => {
                let view = FaultView::from_status(&answer.unwrap_err());
                assert_eq!(
                    view.reason,
                    Some(Reason::CertificateOrgMismatch),
                    "{peer:?} {view:?}"
                );
                assert!(view.message.contains(says), "{}", view.message);
            }
        }
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_and_told_why() {
    let server = identity(&leaf(&CA, "bureau-sh", Role::Gateway), &CA);
    let uri = serve(&server).await;
    let config = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(CA.cert_pem()))
        .domain_name("gateway.bureau-sh.xinqiao.internal");
    let bare = tonic::transport::Endpoint::from_shared(uri)
        .unwrap()
        .tls_config(config)
        .unwrap()
        .connect_lazy();
    let mut grpc = tonic::client::Grpc::new(bare);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<String, String>::default();
    let path = "/xinqiao.test.WhoAmI/Ask".parse().unwrap();
    let answer = grpc.unary(Request::new(String::new()), path, codec).await;
    let view = FaultView::from_status(&answer.unwrap_err());
    assert_eq!(view.reason, Some(Reason::CertificateMissing), "{view:?}");
}

#[tokio::test]
async fn an_ordinary_tool_can_verify_the_server_by_its_dns_name() {
    let server = identity(&leaf(&CA, "bureau-sh", Role::Gateway), &CA);
    let agent = leaf(&CA, "bank-sz", Role::Agent);
    let uri = serve(&server).await;
    let connect = async |name: &str| {
        let config = tonic::transport::ClientTlsConfig::new()
            .ca_certificate(tonic::transport::Certificate::from_pem(CA.cert_pem()))
            .identity(tonic::transport::Identity::from_pem(
                &agent.cert_pem,
                agent.key_pem.expose_secret(),
            ))
            .domain_name(name);
        let endpoint = tonic::transport::Endpoint::from_shared(uri.clone()).unwrap();
        endpoint.tls_config(config).unwrap().connect().await.is_ok()
    };
    assert!(connect("gateway.bureau-sh.xinqiao.internal").await);
    assert!(!connect("gateway.bureau-js.xinqiao.internal").await);
}

#[tokio::test]
async fn a_certified_stranger_without_a_name_of_ours_is_told_so_by_the_service() {
    // Issued by the right CA, but for a web server: a certificate with no xinqiao:// name.
    let key = rcgen::KeyPair::generate().unwrap();
    let ca_key = rcgen::KeyPair::from_pem(CA.key_pem().expose_secret()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(CA.cert_pem(), ca_key).unwrap();
    let params = rcgen::CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();

    let refused = Identity::from_pem(certificate.pem(), key.serialize_pem(), CA.cert_pem());
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("gives no identity")
    );

    let uri = serve(&identity(&leaf(&CA, "bureau-sh", Role::Gateway), &CA)).await;
    let config = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(CA.cert_pem()))
        .identity(tonic::transport::Identity::from_pem(
            certificate.pem(),
            key.serialize_pem(),
        ))
        .domain_name("gateway.bureau-sh.xinqiao.internal");
    let channel = tonic::transport::Endpoint::from_shared(uri)
        .unwrap()
        .tls_config(config)
        .unwrap()
        .connect_lazy();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<String, String>::default();
    let path = "/xinqiao.test.WhoAmI/Ask".parse().unwrap();
    let status = grpc
        .unary(Request::new(String::new()), path, codec)
        .await
        .unwrap_err();
    let view = FaultView::from_status(&status);
    assert_eq!(view.reason, Some(Reason::CertificateUnknown), "{status:?}");
    assert!(
        view.message.contains("no xinqiao:// name"),
        "{}",
        view.message
    );
}

#[tokio::test]
async fn without_tls_a_request_has_no_peer() {
    let running = ServerBuilder::plain_loopback()
        .add_service(WhoAmI)
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .spawn(std::future::pending());
    let uri = format!("http://{}", running.local_addr());
    let plain = xinqiao_rpc::tls::plain_channel(&uri, &Limits::default()).unwrap();
    let view = FaultView::from_status(&who_am_i(plain).await.unwrap_err());
    assert_eq!(view.reason, Some(Reason::CertificateMissing), "{view:?}");
}

#[tokio::test]
async fn a_tls_client_at_a_plain_server_and_the_reverse_get_an_error_and_not_silence() {
    let running = ServerBuilder::plain_loopback()
        .bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
        .spawn(std::future::pending());
    let client = identity(&leaf(&CA, "bank-sz", Role::Agent), &CA);
    let uri = format!("https://{}", running.local_addr());
    let status = who_am_i(channel(&uri, &client, None).unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        FaultView::from_status(&status).reason,
        Some(Reason::UpstreamUnavailable)
    );

    let uri = serve(&identity(&leaf(&CA, "bureau-sh", Role::Gateway), &CA)).await;
    let plain = uri.replace("https", "http");
    let plain = xinqiao_rpc::tls::plain_channel(&plain, &Limits::default()).unwrap();
    assert!(who_am_i(plain).await.is_err());
}
