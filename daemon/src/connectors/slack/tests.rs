//! Tests of `slack`.
