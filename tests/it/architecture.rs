//! The map in `src/lib.rs` and the code agree.
