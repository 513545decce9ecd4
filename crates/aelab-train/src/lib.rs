//! aelab-train
