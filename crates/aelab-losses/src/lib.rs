//! aelab-losses
