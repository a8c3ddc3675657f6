//! One kept-alive HTTP/1.1 connection to a collector, opened when it is needed.

use std::time::Duration;

use axum::http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A collector that has not answered by then counts as away.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where to send.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    authority: String,
    prefix: String,
    /// What to show where keys are asked for.
    authorization: Option<HeaderValue>,
}

impl Target {
    /// Reads `http://host:port[/prefix]`.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let expected = || format!("expected a URL such as http://127.0.0.1:8000, found `{url}`");
        let uri: Uri = url.parse().map_err(|_| expected())?;
        if uri.scheme_str() != Some("http") {
            return Err(expected());
        }
        let (host, port) = (uri.host().ok_or_else(expected)?, uri.port_u16().unwrap_or(80));
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { authority: format!("{host}:{port}"), prefix, authorization: None })
    }

    /// The same, with a key to show.
    ///
    /// # Errors
    /// When no header can hold it.
    pub(crate) fn with_key(mut self, key: Option<&str>) -> Result<Self, String> {
        let Some(key) = key else { return Ok(self) };
        let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| "the key has odd characters")?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }
}

/// A client of one collector.
pub(crate) struct Client {
    target: Target,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client that is not connected yet.
    pub(crate) fn new(target: Target) -> Self {
        Self { target, connection: None }
    }

    /// Sends a request and reads the answer whole. The body is shared: sending it again costs nothing.
    ///
    /// # Errors
    /// When there is no answer; whether the request was carried out is then not known.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(method, path, content_type, body)).await;
        let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", TIMEOUT.as_secs())));
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        // A server may close a connection that stood idle: that is no error, the next request opens another.
        let open = match self.connection.take() {
            Some(mut open) => open.ready().await.is_ok().then_some(open),
            None => None,
        };
        let open = match open {
            Some(open) => open,
            None => connect(&self.target.authority).await?,
        };
        let connection = self.connection.insert(open);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.target.prefix))
            .header(header::HOST, &self.target.authority)
            .header(header::CONTENT_TYPE, content_type)
            .body(Full::new(body))?;
        if let Some(key) = &self.target.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, key.clone());
        }
        let response = connection.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, body))
    }
}

async fn connect(authority: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the collector ended");
        }
    });
    Ok(sender)
}
