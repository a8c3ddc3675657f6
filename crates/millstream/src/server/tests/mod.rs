//! The listener with short time-outs, over real sockets.

mod house;
mod http2;
mod room;
mod secure;
mod timing;
