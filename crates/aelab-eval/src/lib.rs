//! aelab-eval
