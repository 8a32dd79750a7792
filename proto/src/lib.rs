//! The control API: generated messages, clients and servers, and nothing written by hand.

pub mod v1 {
    tonic::include_proto!("leadline.control.v1");
}

/// The descriptors of every service, for reflection and for tests that walk all methods.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/control.bin"));
