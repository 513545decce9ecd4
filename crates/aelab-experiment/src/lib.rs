//! aelab-experiment
