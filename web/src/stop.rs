//! Given a running server, when is it to end? When Ctrl-C or the process's
//! supervisor says so.

use std::time::Duration;

use actix_web::rt;
#[cfg(unix)]
use futures_util::{future::select, pin_mut};

/// Resolves when the process is told to end, by Ctrl-C or by its supervisor.
pub(crate) async fn told_to_stop() {
    #[cfg(unix)]
    {
        use rt::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            let interrupt = rt::signal::ctrl_c();
            pin_mut!(interrupt);
            let terminate = terminate.recv();
            pin_mut!(terminate);
            select(interrupt, terminate).await;
            return;
        }
    }
    if rt::signal::ctrl_c().await.is_err() {
        // No signals here: whoever started us has other ways to end us.
        loop {
            rt::time::sleep(Duration::from_secs(3_600)).await;
        }
    }
}
