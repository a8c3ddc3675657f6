//! TLS: handshakes, new certificates, broken files, clients that speak something else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::house::{Client, House, PATIENT, SOON};
use crate::server::bounds::Timeouts;
use crate::server::tls::{Tls, TlsError};

/// A certificate in two files of a folder.
struct Files {
    dir: tempfile::TempDir,
    cert: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cert = write_new(dir.path());
        Self { dir, cert }
    }

    fn paths(&self) -> (PathBuf, PathBuf) {
        (self.dir.path().join("cert.pem"), self.dir.path().join("key.pem"))
    }

    fn load(&self) -> Arc<Tls> {
        let (cert, key) = self.paths();
        Tls::load(&cert, &key).unwrap()
    }
}

fn write(path: &Path, text: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(path, text).unwrap();
}

fn write_new(dir: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(&dir.join("cert.pem"), &cert.pem());
    write(&dir.join("key.pem"), &signing_key.serialize_pem());
    cert.der().clone()
}

/// Reads the files again, and says whether they had changed.
fn reload(tls: &Tls) -> Result<bool, TlsError> {
    let fresh = tls.read()?;
    let changed = fresh.is_some();
    fresh.into_iter().for_each(|fresh| tls.put(fresh));
    Ok(changed)
}

/// Connects as a client that trusts this certificate only.
async fn connect(
    house: &House,
    cert: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(house.server.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map(Client)
}

#[tokio::test]
async fn both_versions_and_both_protocols_are_spoken() {
    let files = Files::new();
    let house = House::new(9, PATIENT, Some(files.load())).await;
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
        {
            let mut client = connect(&house, &files.cert, &[version], offered).await.unwrap();
            let found = client.0.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            assert_eq!(found.as_deref(), chosen, "{version:?}");
            if chosen != Some("h2") {
                assert!(client.serves().await, "{version:?} {offered:?}");
            }
        }
    }
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_old_ones_go_on() {
    let files = Files::new();
    let tls = files.load();
    let house = House::new(9, PATIENT, Some(tls.clone())).await;
    let mut old = connect(&house, &files.cert, &[&TLS13], &[]).await.unwrap();
    assert!(old.serves().await);
    assert!(!reload(&tls).unwrap(), "nothing has changed");

    let renewed = write_new(files.dir.path());
    assert!(reload(&tls).unwrap());
    assert!(!reload(&tls).unwrap(), "once is enough");
    assert!(old.serves().await);
    assert!(connect(&house, &files.cert, &[&TLS13], &[]).await.is_err(), "the old one is gone");
    assert!(connect(&house, &renewed, &[&TLS13], &[]).await.unwrap().serves().await);
}

#[tokio::test]
async fn broken_files_are_named_and_change_nothing() {
    let files = Files::new();
    let tls = files.load();
    let house = House::new(9, PATIENT, Some(tls.clone())).await;
    let (cert, key) = files.paths();
    let read = |path: &Path| {
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        String::from_utf8(std::fs::read(path).unwrap()).unwrap()
    };
    let (good_cert, good_key) = (read(&cert), read(&key));
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    let torn = good_cert[..good_cert.len() / 2].to_owned();
    let empty_cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (with_cert, with_key, words) in [
        ("", &*good_key, "cert.pem: expected a certificate in PEM, found none"),
        (&*good_key, &*good_key, "cert.pem: expected a certificate in PEM, found none"),
        (&*torn, &*good_key, "cert.pem: expected a certificate in PEM, found something broken"),
        (empty_cert, &*good_key, "cert.pem with the key in "),
        (&*good_cert, "nonsense", "key.pem: expected a private key without a password in PEM, found none"),
        (&*good_cert, &*other_key, "key.pem does not belong to the certificate in "),
    ] {
        write(&cert, with_cert);
        write(&key, with_key);
        let error = reload(&tls).unwrap_err().to_string();
        assert!(error.contains(words), "{error:?} does not say {words:?}");
        assert_eq!(Tls::load(&cert, &key).err().map(|error| error.to_string()), Some(error));
    }
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::remove_file(&key).unwrap();
    let error = reload(&tls).unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("key.pem: No such file"), "{error}");
    assert!(connect(&house, &files.cert, &[&TLS13], &[]).await.unwrap().serves().await);
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_or_closed_and_others_are_served() {
    let files = Files::new();
    let house = House::new(9, Timeouts { first_byte: SOON, ..PATIENT }, Some(files.load())).await;
    let mut plain = house.connect().await;
    plain.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let answer = plain.is_closed().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("use https:// instead.\r\n"), "{answer:?}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(answer.contains(&format!("content-length: {}\r\n", body.len())), "{answer:?}");

    // A handshake that never goes on, and one that is none.
    for begin in ["\x16\x03\x01", "\x16nonsense, and more of it"] {
        let mut client = house.connect().await;
        client.send(begin).await;
        client.is_closed().await;
    }
    assert!(connect(&house, &files.cert, &[&TLS13], &[]).await.unwrap().serves().await);
}
