//! How is what is asynchronous asked from threads that wait?

use std::io;

use tokio::runtime::{EnterGuard, Runtime};

/// A runtime of one thread for callers that block. It ends without waiting for what goes on
/// there, since it may be dropped where waiting is forbidden.
pub struct Blocking(Option<Runtime>);

impl Blocking {
    /// With a thread of this name.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(name: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }

    /// Runs to its end what is asked for. Not within another runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime().block_on(future)
    }

    /// Lets what is made by this thread meanwhile find the runtime.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.runtime().enter()
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
