//! How callers reach us.
