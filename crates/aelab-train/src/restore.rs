//! Taking up a saved state that may be anything.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aelab_core::{StateError, Trainee, TraineeState};
use burn::store::RecordError;

/// [`Trainee::restore`], with an error where burn panics: at a tensor of an optimizer whose rank is not that of its parameter, which
/// no check sum tells from a right one. After an error the trainee is not to be used.
///
/// # Errors
/// Those of the trainee, and a record whose tensors do not fit.
pub fn restore(trainee: &mut dyn Trainee, state: TraineeState) -> Result<(), StateError> {
    let parts: Vec<String> = state.parts.keys().cloned().collect();
    catch_unwind(AssertUnwindSafe(|| trainee.restore(state))).unwrap_or_else(|_| {
        let source = RecordError::Validation("a tensor in it has a shape that does not fit".to_owned());
        Err(StateError::Record { part: parts.join(", "), source })
    })
}
