//! What can be wrong with the choice of initial weights.

use aelab_core::{ConfigError, Initialization};

/// Rejects a standard deviation that is not a positive number. The path is relative to the key.
pub fn check_initialization(how: Initialization) -> Result<(), ConfigError> {
    match how {
        Initialization::Normal { sigma } if !(sigma > 0.0 && sigma.is_finite()) => Err(ConfigError::new(
            "normal.sigma",
            format!("the standard deviation of initial weights must be a positive number, but is {sigma}"),
        )),
        _ => Ok(()),
    }
}
