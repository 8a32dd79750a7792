//! The control API: generated messages, clients and servers, the words of their enums, and nothing written by hand.

pub mod v1 {
    tonic::include_proto!("leadline.control.v1");
    include!(concat!(env!("OUT_DIR"), "/words.rs"));
}

/// The descriptors of every service, for reflection and for tests that walk all methods.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/control.bin"));
