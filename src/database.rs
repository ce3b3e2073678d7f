//! The embedded database: one SQLite file for queue and results.
