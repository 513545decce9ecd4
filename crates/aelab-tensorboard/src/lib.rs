//! aelab-tensorboard
