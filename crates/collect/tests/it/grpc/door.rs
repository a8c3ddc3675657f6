//! A house whose doors listen on a port, and a client as the `.proto` makes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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

pub(super) type Http = Client<HttpConnector, Body>;

pub(super) struct Door {
    pub(super) house: House,
    pub(super) origin: Uri,
    pub(super) http: Http,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) closing: watch::Sender<bool>,
}

impl Door {
    pub(super) async fn open() -> Self {
        let house = House::new();
        let ready = Arc::new(AtomicBool::new(true));
        let (closing, closed) = watch::channel(false);
        let (intake, asked) = (house.intake.clone(), ready.clone());
        let router = collect::router(intake.clone()).merge(grpc::router(Grpc {
            intake,
            ready: Arc::new(move || asked.load(Relaxed)),
            closing: closed,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(axum::serve(listener, api::with_manners(router)).into_future());
        let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Self { house, origin, http, ready, closing }
    }

    pub(super) fn client(&self) -> CollectorClient<Http> {
        CollectorClient::with_origin(self.http.clone(), self.origin.clone())
    }

    /// A call with these batches; it stays open.
    pub(super) async fn call(&self, batches: impl IntoIterator<Item = PublishRequest>) -> Call {
        let (batches_in, batches_out) = mpsc::unbounded_channel();
        batches.into_iter().for_each(|batch| batches_in.send(batch).unwrap());
        let next = async |mut from: mpsc::UnboundedReceiver<_>| from.recv().await.map(|batch| (batch, from));
        let responses = self.client().publish(stream::unfold(batches_out, next)).await.unwrap().into_inner();
        Call { batches: Some(batches_in), responses }
    }

    /// Commits everything in the log for the engine, as it does once all is stored.
    pub(super) fn commit_all(&self) {
        for (stream, _) in self.house.catalog.iter() {
            let ends = self.house.log.extents(stream).into_iter().enumerate();
            let ends: Vec<_> = ends.map(|(p, e)| Position { stream, partition: p as u32, offset: e.next }).collect();
            self.house.log.commit("engine", &ends).unwrap();
        }
    }
}

pub(super) struct Call {
    batches: Option<mpsc::UnboundedSender<PublishRequest>>,
    responses: Streaming<PublishResponse>,
}

impl Call {
    pub(super) fn send(&self, batch: PublishRequest) {
        self.batches.as_ref().unwrap().send(batch).unwrap();
    }

    pub(super) async fn next(&mut self) -> Result<Option<PublishResponse>, Status> {
        self.responses.message().await
    }

    /// All responses up to the one that acknowledges this sequence, as one.
    pub(super) async fn acked(&mut self, sequence: u64) -> PublishResponse {
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
    pub(super) async fn finish(mut self) -> Result<(), Status> {
        self.batches = None;
        self.next().await.map(|left| assert_eq!(left, None))
    }

    /// How a call ends that the server ends, and what was acknowledged until then.
    pub(super) async fn ended(mut self) -> (u64, Status) {
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
pub(super) fn batch(sequence: u64, events: &str) -> PublishRequest {
    PublishRequest {
        sequence,
        stream: "events".to_owned(),
        ack: AckLevel::Durable.into(),
        format: Format::Json.into(),
        events: events.to_owned().into(),
    }
}
