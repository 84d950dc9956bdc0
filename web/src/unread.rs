//! Given a body in chunks that nobody reads to its end, what becomes of the connection?
//! The HTTP library would wait for the rest of it without end, once its reader is
//! gone; so the reader is kept for a moment, and the connection is closed instead.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::rt;
use actix_web::web::Bytes;
use futures_util::Stream;

/// Longer than the library takes to say good-bye.
const KEPT: Duration = Duration::from_secs(10);

/// A body that is kept until it is read or the connection closes.
pub(crate) struct Unread(Rc<Body>);

struct Body {
    payload: RefCell<Payload>,
    ended: Cell<bool>,
}

/// What the request's handler reads.
struct Reader(Rc<Body>);

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut *self.0.payload.borrow_mut()).poll_next(cx);
        if let Poll::Ready(None | Some(Err(_))) = next {
            self.0.ended.set(true);
        }
        next
    }
}

impl Unread {
    /// Keeps the body of a request that is sent in chunks; `None` for others.
    pub(crate) fn of(request: &mut ServiceRequest) -> Option<Self> {
        if !request.headers().contains_key(header::TRANSFER_ENCODING) {
            return None;
        }
        let payload = RefCell::new(request.take_payload());
        let body = Rc::new(Body { payload, ended: Cell::new(false) });
        let reader: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Reader(Rc::clone(&body)));
        request.set_payload(Payload::from(reader));
        Some(Self(body))
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if self.0.ended.get() {
            return;
        }
        let body = Rc::clone(&self.0);
        rt::spawn(async move {
            rt::time::sleep(KEPT).await;
            drop(body);
        });
    }
}
