//! aelab-data
