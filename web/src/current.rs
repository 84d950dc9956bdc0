//! Given that the store may be moved to another model while requests go on, which engine
//! answers a request? The one there is when it begins, to its end.

use std::future::{Ready, ready};
use std::ops::Deref;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use ekphrasis_engine::{Engine, Serving};

use crate::problem::Problem;

/// The engine that answers a request. What writes goes through [`Serving`] instead.
pub(crate) struct Current(Arc<Engine>);

impl Deref for Current {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.0
    }
}

impl FromRequest for Current {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let serving = request.app_data::<Data<Serving>>();
        ready(match serving {
            Some(serving) => Ok(Self(serving.current())),
            None => Err(Problem::bug("the server was started without an engine")),
        })
    }
}
