//! Which generation of a shared store serves now? Somebody may have the name point at another one
//! while this process runs: then it goes on with that, if it is of the same model.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
        let mut state = self.state();
        if state.looked.elapsed() >= LOOK {
            // Of many who come at once one looks; the others go on with what was seen last, also
            // where the server does not answer.
            state.looked = Instant::now();
            let store = Arc::clone(&state.store);
            drop(state);
            let seen = self.look(&store)?;
            state = self.state();
            match seen {
                Seen::Same => state.moved = None,
                Seen::Another(store) => (state.store, state.moved) = (store, None),
                Seen::OfAnotherModel(space) => state.moved = Some(space),
            }
        }
        match &state.moved {
            None => Ok(Arc::clone(&state.store)),
            Some(space) => {
                Err(EngineError::Moved { at: self.address.to_string(), space: space.clone() })
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, store: &MilvusStore) -> Result<Seen, StoreError> {
        if store.is_current()? {
            return Ok(Seen::Same);
        }
        let (address, options) = (&self.address, &self.options);
        match opened(address, options, &self.space, Open::Existing, self.patience) {
            Ok(store) => Ok(Seen::Another(Arc::new(store))),
            Err(StoreError::SpaceMismatch { expected, .. }) => Ok(Seen::OfAnotherModel(expected)),
            Err(error) => Err(error),
        }
    }
}

/// Which generation serves.
enum Seen {
    Same,
    Another(Arc<MilvusStore>),
    OfAnotherModel(Space),
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
