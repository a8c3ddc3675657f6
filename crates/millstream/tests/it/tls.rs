//! The clients' port under TLS, as it is configured, and a new certificate while it runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http;
use crate::product::{Product, folder, run, write};

fn write_new(dir: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(dir, "cert.pem", cert.pem().as_bytes());
    write(dir, "key.pem", signing_key.serialize_pem().as_bytes());
    cert.der().clone()
}

/// The address of the clients' port.
fn address(product: &Product) -> &str {
    product.clients.split_once("://").unwrap().1
}

/// Posts an event as a client that trusts this certificate only, and gives the status.
fn post(product: &Product, cert: &CertificateDer<'static>) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(address(product))?);
    let head = "POST /v1/streams/events/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    stream.write_all(format!("{head}connection: close\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn events_come_in_under_tls_and_the_certificate_can_change() {
    let dir = folder();
    write(dir.path(), "millstream.yaml", b"tls: { cert: cert.pem, key: key.pem }\n");
    let first = write_new(dir.path());
    let product = Product::start(dir.path(), &[]);
    assert_eq!(post(&product, &first).unwrap(), "HTTP/1.1 202 Accepted");
    let plain = http::exchange(&format!("http://{}/health", address(&product)), "GET", &[], b"").unwrap();
    assert_eq!(plain.status, 400, "{plain:?}");

    let reload = || http::post(&format!("{}/v1/reload", product.admin), "application/json", b"");
    let second = write_new(dir.path());
    assert_eq!(post(&product, &first).unwrap(), "HTTP/1.1 202 Accepted", "nobody asked it to look");
    assert_eq!(reload().expect(200).json()["changed"][0]["path"], "tls.certificate");
    assert_eq!(post(&product, &second).unwrap(), "HTTP/1.1 202 Accepted");
    assert!(post(&product, &first).is_err(), "the first one is out of use");

    write(dir.path(), "key.pem", b"no key at all");
    let refused = String::from_utf8(reload().body).unwrap();
    assert!(refused.contains("key.pem: expected a private key"), "{refused}");
    assert_eq!(post(&product, &second).unwrap(), "HTTP/1.1 202 Accepted");
    product.stop();

    // What cannot be used is told before anything starts.
    let output = run(dir.path(), &["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", "data"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("key.pem: expected a private key"), "{said}");
}
