//! Given a store that other machines share, how is it served? By as many processes as one
//! likes, of which each keeps nothing: any of them answers any request.

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use ekphrasis_engine::SharedEngine;

use crate::log::Log;
use crate::meter::Meter;
use crate::routes::shared::routes;
use crate::serve::{Listener, ServeError, answer};

/// What is served of a store that other machines share.
pub struct SharedService {
    /// The model and the store.
    pub engine: Arc<SharedEngine>,
    /// Told of refused requests, a line each.
    pub log: Box<dyn Fn(&str) + Send + Sync>,
}

impl Listener {
    /// Serves a shared store until SIGINT or SIGTERM, as [`Listener::serve`] does.
    ///
    /// # Errors
    /// `Io` if serving fails.
    pub fn serve_shared(
        self,
        service: SharedService,
        on_ready: impl FnOnce(),
    ) -> Result<(), ServeError> {
        let Listener { socket, addr, rules } = self;
        let (rules, engine) = (Data::new(rules), Data::from(service.engine));
        let (meter, log) = (Data::new(Meter::default()), Data::new(Log::new(service.log)));
        let configure = move |app: &mut ServiceConfig| {
            app.app_data(rules.clone())
                .app_data(engine.clone())
                .app_data(meter.clone())
                .app_data(log.clone())
                .configure(routes);
        };
        answer(socket, addr, configure, on_ready, || {})
    }
}
