//! aelab-report
