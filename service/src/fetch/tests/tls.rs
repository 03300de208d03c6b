//! A root of trust of the tests' own, and origins that misbehave in TLS, or are not certified by it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::ring::Deed::{Answer, AtAccept};
use super::ring::End::{Error, Source};
use super::ring::{Limit, Ring, case};
use super::*;

/// A root, which the client may be told to trust.
pub(super) struct Root(CertifiedIssuer<'static, KeyPair>);

impl Root {
    pub(super) fn new() -> Root {
        // A second call fails because the first one holds.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Root(CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    pub(super) fn certificate(&self) -> reqwest::Certificate {
        reqwest::Certificate::from_der(self.0.der()).expect("a certificate")
    }

    /// TLS as `name`, with the first protocol of `protocols` that the client knows.
    pub(super) fn acceptor(&self, name: &str, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a pair");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn who_fails_the_handshake_gets_no_request() {
    let ring = Ring::tls(&["http/1.1"]).await;
    ring.run(vec![
        case("accepts and never shakes hands", Limit::Connect, AtAccept(vec![Step::Hold]), Error(Code::ConnectTimeout)),
        case(
            "stops within the handshake",
            Limit::Connect,
            AtAccept(vec![Step::Read, Step::Send(b"\x16\x03\x03\x40\x00".to_vec()), Step::Hold]),
            Error(Code::ConnectTimeout),
        ),
        case(
            "an alert",
            Limit::None,
            AtAccept(vec![Step::Read, Step::Send(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()), Step::Hold]),
            Error(Code::TlsFailed),
        ),
        case(
            "no TLS at all",
            Limit::None,
            AtAccept(vec![Step::Read, Step::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), Step::Hold]),
            Error(Code::TlsFailed),
        ),
        case(
            "RST within the handshake",
            Limit::None,
            AtAccept(vec![Step::Read, Step::Reset]),
            Error(Code::ConnectFailed),
        ),
        case(
            "FIN within the handshake",
            Limit::None,
            AtAccept(vec![Step::Read, Step::Close]),
            Error(Code::ConnectFailed),
        ),
        // A body without a length that ends without TLS's goodbye was cut by somebody else.
        case(
            "an end with goodbye",
            Limit::None,
            Answer(vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\npicture".to_vec()), Step::Close]),
            Source(7),
        ),
        case(
            "an end without goodbye",
            Limit::None,
            Answer(vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\npicture".to_vec()), Step::Drop]),
            Error(Code::BodyTruncated),
        ),
        case("from https to http", Limit::None, Answer(redirect("http://127.0.0.1/")), Error(Code::RedirectRefused)),
    ])
    .await;
    let (root, other) = (Root::new(), Root::new());
    for (why, origin, trusted) in [
        ("nobody vouches for it", Origin::start_tls(root.acceptor("127.0.0.1", &["h2"])).await, &other),
        ("it is somebody else's", Origin::start_tls(root.acceptor("example.org", &["h2"])).await, &root),
    ] {
        let ring = Ring::around(origin, vec![trusted.certificate()]);
        ring.run(vec![case(why, Limit::None, Answer(ok(b"picture")), Error(Code::TlsFailed))]).await;
        assert_eq!(ring.origin.requests().len(), 0, "{why}");
    }
}
