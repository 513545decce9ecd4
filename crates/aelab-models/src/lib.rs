//! aelab-models
