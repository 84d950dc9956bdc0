//! Which generation of a shared store serves now? Somebody may have the name point at another one
//! while this process runs: then it goes on with that, if it is of the same model.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ekphrasis_embed::Space;
use ekphrasis_index::StoreError;
use ekphrasis_milvus::{Address, MilvusStore, Open, Options};

use crate::EngineError;

/// For how long it is believed that the same one serves: a call to the server tells.
const LOOK: Duration = Duration::from_secs(1);

/// The store that serves at an address.
pub(super) struct Served {
    address: Address,
    options: Options,
    /// Of the model here.
    space: Space,
    /// For how long calls wait for a server that is away, if longer than the options say.
    patience: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    store: Arc<MilvusStore>,
    /// The space of the one that serves, if it is none of the model here.
    moved: Option<Space>,
    looked: Instant,
}

impl Served {
    pub(super) fn open(
        address: &Address,
        options: Options,
        space: &Space,
        open: Open,
        patience: Option<Duration>,
    ) -> Result<Self, StoreError> {
        let store = opened(address, &options, space, open, patience)?;
        let state = State { store: Arc::new(store), moved: None, looked: Instant::now() };
        let (address, space, state) = (address.clone(), space.clone(), Mutex::new(state));
        Ok(Self { address, options, space, patience, state })
    }

    /// The one that served a second ago at the earliest. Whoever asks for several things that
    /// belong together asks them of what this gives once.
    pub(super) fn now(&self) -> Result<Arc<MilvusStore>, EngineError> {
        // Held while it is asked, so that of many who come at once one asks.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK {
            let looked = self.look(&mut state);
            // Also if it could not be asked: or everybody would wait for that in turn.
            state.looked = Instant::now();
            looked?;
        }
        match &state.moved {
            None => Ok(Arc::clone(&state.store)),
            Some(space) => {
                Err(EngineError::Moved { at: self.address.to_string(), space: space.clone() })
            }
        }
    }

    fn look(&self, state: &mut State) -> Result<(), StoreError> {
        if !state.store.is_current()? {
            let (address, options) = (&self.address, &self.options);
            match opened(address, options, &self.space, Open::Existing, self.patience) {
                Ok(store) => state.store = Arc::new(store),
                Err(StoreError::SpaceMismatch { expected, .. }) => {
                    state.moved = Some(expected);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        state.moved = None;
        Ok(())
    }
}

fn opened(
    address: &Address,
    options: &Options,
    space: &Space,
    open: Open,
    patience: Option<Duration>,
) -> Result<MilvusStore, StoreError> {
    let store = MilvusStore::open(address, space, open, options.clone())?;
    Ok(match patience {
        Some(patience) => store.waiting_for(patience),
        None => store,
    })
}
