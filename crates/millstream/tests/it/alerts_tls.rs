//! A target behind TLS: trusted by the system's certificates or not told; and what it is told is what others read.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http;
use crate::product::{Product, folder, until, write};

/// A server for webhooks at `https://localhost`, with the certificate in a file beside it.
struct Secure {
    port: u16,
    cert: PathBuf,
    /// The requests, head and body in one.
    requests: Receiver<String>,
    dir: tempfile::TempDir,
}

impl Secure {
    fn start() -> Self {
        let dir = folder();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let path = write(dir.path(), "cert.pem", cert.pem().as_bytes());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = Arc::new(builder.with_single_cert(vec![cert.der().clone()], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                let mut text = String::new();
                let mut bytes = [0; 4_096];
                // One request a connection; one that is refused ends before it.
                while !text.ends_with("}}}") {
                    match stream.read(&mut bytes) {
                        Ok(n) if n > 0 => text.push_str(std::str::from_utf8(&bytes[..n]).unwrap()),
                        _ => break,
                    }
                }
                if !text.is_empty() {
                    drop(sender.send(text));
                    drop(stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"));
                }
            }
        });
        Self { port, cert: path, requests, dir }
    }

    /// A product that tells it, and knows the certificates of this file.
    fn product(&self, folder: &tempfile::TempDir, roots: &Path) -> Product {
        let url = format!("https://localhost:{}/hook", self.port);
        let alerts = format!("alerts: [{{ name: pager, url: '{url}', secret: a secret of the tests }}]\n");
        write(folder.path(), "millstream.yaml", alerts.as_bytes());
        Product::start_with_variable(folder.path(), "SSL_CERT_FILE", roots)
    }
}

const PURCHASE: &str =
    r#"{"user_id":7,"type":"purchase","timestamp":1764000000000,"payload":{"amount":2000.00,"note":{"deep":{}}}}"#;

#[test]
fn a_target_behind_tls_is_told_what_the_anomalies_page_says() {
    let (dir, target) = (folder(), Secure::start());
    let product = target.product(&dir, &target.cert);
    product.post_stored("signals", PURCHASE);
    let request = target.requests.recv().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    let mut told: Value = serde_json::from_str(body).unwrap();
    let mut read = product.ask("/v1/anomalies?rule=high_value_purchase")["anomalies"][0].clone();
    assert!(read.as_object_mut().unwrap().remove("stored_at").is_some());
    assert_eq!(told["data"].take(), read, "but for when it was stored, which nobody knew yet");

    until("it is known to be told", || product.ask("/v1/alerts")["alerts"][0]["status"] == "delivered");
    let metrics = String::from_utf8(http::get(&format!("{}/metrics", product.admin)).expect(200).body).unwrap();
    for line in [
        r#"millstream_alerts_total{target="pager",result="delivered"} 1"#,
        r#"millstream_breaker_state{target="pager"} 0"#,
        r#"millstream_breaker_state{target="store"} 0"#,
        "outbox_events_total 1",
        "outbox_write_failures_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    product.stop();
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let (dir, target, other) = (folder(), Secure::start(), Secure::start());
    let product = target.product(&dir, &other.cert);
    product.post_stored("signals", PURCHASE);
    until("it was tried", || product.ask("/v1/alerts")["alerts"][0]["attempts"] == 1);
    let alert = &product.ask("/v1/alerts")["alerts"][0];
    let error = alert["error"].as_str().unwrap();
    assert!(error.starts_with("it cannot be reached: invalid peer certificate"), "{alert}");
    assert!(target.requests.try_recv().is_err(), "nothing was said");
    drop(other.dir);
    product.stop();
}
