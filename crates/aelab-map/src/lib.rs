//! Files of numbers that processes share: mapped into memory, read-only.
