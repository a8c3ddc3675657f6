//! A house whose doors listen on a port, and a client as the `.proto` makes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use api::Caller;
use axum::http::Uri;
use collect::grpc::pb::collector_client::CollectorClient;
use collect::grpc::pb::{AckLevel, Format, PublishRequest, PublishResponse};
use collect::grpc::{self, Grpc};
use event::Position;
use futures_util::stream;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use log::Log;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::body::Body;
use tonic::{Status, Streaming};

use crate::house::House;

pub(crate) type Http = Client<HttpConnector, Body>;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Waits until something holds of the house.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

pub(crate) struct Door {
    pub(crate) house: House,
    pub(crate) origin: Uri,
    pub(crate) http: Http,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) closing: watch::Sender<bool>,
}

impl Door {
    pub(crate) async fn open() -> Self {
        Self::open_to(Caller::open()).await
    }

    /// A house whose every caller is this one.
    pub(crate) async fn open_to(caller: Caller) -> Self {
        let house = House::new();
        let ready = Arc::new(AtomicBool::new(true));
        let (closing, closed) = watch::channel(false);
        let (intake, asked) = (house.intake.clone(), ready.clone());
        let calls = Grpc { intake: intake.clone(), ready: Arc::new(move || asked.load(Relaxed)), closing: closed };
        let router = collect::router(intake).merge(grpc::router(calls.clone())).merge(grpc::open_router(calls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(axum::serve(listener, api::with_manners(router.layer(axum::Extension(caller)))).into_future());
        let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Self { house, origin, http, ready, closing }
    }

    pub(crate) fn client(&self) -> CollectorClient<Http> {
        CollectorClient::with_origin(self.http.clone(), self.origin.clone())
    }

    /// A call with these batches; it stays open.
    pub(crate) async fn call(&self, batches: impl IntoIterator<Item = PublishRequest>) -> Call {
        let (batches_in, batches_out) = mpsc::unbounded_channel();
        batches.into_iter().for_each(|batch| batches_in.send(batch).unwrap());
        let next = async |mut from: mpsc::UnboundedReceiver<_>| from.recv().await.map(|batch| (batch, from));
        let responses = self.client().publish(stream::unfold(batches_out, next)).await.unwrap().into_inner();
        Call { batches: Some(batches_in), responses }
    }

    /// Commits everything in the log for the engine, as it does once all is stored.
    pub(crate) fn commit_all(&self) {
        for (stream, _) in self.house.catalog.iter() {
            let ends = self.house.log.extents(stream).into_iter().enumerate();
            let ends: Vec<_> = ends.map(|(p, e)| Position { stream, partition: p as u32, offset: e.next }).collect();
            self.house.log.commit("engine", &ends).unwrap();
        }
    }
}

pub(crate) struct Call {
    batches: Option<mpsc::UnboundedSender<PublishRequest>>,
    responses: Streaming<PublishResponse>,
}

impl Call {
    pub(crate) fn send(&self, batch: PublishRequest) {
        self.batches.as_ref().unwrap().send(batch).unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<Option<PublishResponse>, Status> {
        self.responses.message().await
    }

    /// All responses up to the one that acknowledges this sequence, as one.
    pub(crate) async fn acked(&mut self, sequence: u64) -> PublishResponse {
        let mut all = PublishResponse::default();
        while all.acked < sequence {
            let next = self.next().await.unwrap().expect("the call goes on");
            assert!(next.acked > all.acked, "acknowledgements go up: {next:?}");
            all.ack = if all.acked == 0 { next.ack } else { all.ack.min(next.ack) };
            all.acked = next.acked;
            all.accepted += next.accepted;
            all.duplicates += next.duplicates;
            all.rejected += next.rejected;
            all.positions.extend(next.positions);
            all.rejections.extend(next.rejections);
        }
        assert_eq!(all.acked, sequence);
        all
    }

    /// Sends no more, and gives how the call ends: nothing may be left to say.
    pub(crate) async fn finish(mut self) -> Result<(), Status> {
        self.batches = None;
        self.next().await.map(|left| assert_eq!(left, None))
    }

    /// How a call ends that the server ends, and what was acknowledged until then.
    pub(crate) async fn ended(mut self) -> (u64, Status) {
        let mut acked = 0;
        loop {
            match self.next().await {
                Ok(response) => acked = response.expect("the server ends it with a status").acked,
                Err(status) => return (acked, status),
            }
        }
    }
}

/// A batch for `events`, durable.
pub(crate) fn batch(sequence: u64, events: &str) -> PublishRequest {
    PublishRequest {
        sequence,
        stream: "events".to_owned(),
        ack: AckLevel::Durable.into(),
        format: Format::Json.into(),
        events: events.to_owned().into(),
    }
}
