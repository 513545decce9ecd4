//! aelab-nn
