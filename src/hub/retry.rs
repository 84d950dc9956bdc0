//! Given a hub that fails, when is it asked again? Soon, a few times, for what may pass;
//! never for what it means.

use std::time::Duration;

use super::Watch;
use super::error::HubError;

/// How often in a row something may fail.
const TRIES: u32 = 3;
/// How often in all, if bytes come in between.
const IN_ALL: u32 = 50;
/// Before the second time; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// Whoever asks for more has to be asked again by hand.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A failure.
pub(super) enum Trip {
    /// It will be the same again.
    Final(HubError),
    /// It may pass.
    Passing {
        error: HubError,
        /// As the server asks, if it does.
        pause: Option<Duration>,
        /// Bytes came before.
        progressed: bool,
    },
}

impl Trip {
    pub(super) fn passing(error: HubError) -> Self {
        Self::Passing { error, pause: None, progressed: false }
    }
}

impl From<HubError> for Trip {
    fn from(error: HubError) -> Self {
        Self::Final(error)
    }
}

impl From<std::io::Error> for Trip {
    fn from(error: std::io::Error) -> Self {
        Self::Final(error.into())
    }
}

/// Does it until it goes well, or for as long as there is hope.
pub(super) fn patiently<T>(
    watch: &dyn Watch,
    mut once: impl FnMut() -> Result<T, Trip>,
) -> Result<T, HubError> {
    let (mut in_a_row, mut in_all) = (0, 0);
    loop {
        let (error, asked, progressed) = match once() {
            Ok(done) => return Ok(done),
            Err(Trip::Final(error)) => return Err(error),
            Err(Trip::Passing { error, pause, progressed }) => (error, pause, progressed),
        };
        in_a_row = if progressed { 1 } else { in_a_row + 1 };
        in_all += 1;
        let pause = asked.unwrap_or(FIRST_PAUSE * 2u32.pow(in_a_row - 1));
        if in_a_row >= TRIES || in_all >= IN_ALL || pause > LONGEST_PAUSE {
            return Err(error);
        }
        watch.note(&format!("{error}; trying again in {:.1} s", pause.as_secs_f64()));
        std::thread::sleep(pause);
    }
}
