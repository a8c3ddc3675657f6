//! A router that another one can take the place of while requests come; those under way end where they began.

use std::convert::Infallible;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::future::RouteFuture;
use tower::Service;

/// The router in force. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Swap(Arc<ArcSwap<Router>>);

impl From<Router> for Swap {
    fn from(router: Router) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(router)))
    }
}

impl Swap {
    /// Puts another in its place.
    pub(crate) fn put(&self, router: Router) {
        self.0.store(Arc::new(router));
    }

    /// Answers by the one in force now.
    pub(super) fn call(&self, request: Request<Body>) -> RouteFuture<Infallible> {
        // A router is always ready, and cloning it is one more reference.
        Router::clone(&self.0.load()).call(request)
    }
}
