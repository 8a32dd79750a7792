//! What a machine may lack of what tests take: programs that are not ours, and rights.

/// Says that a part of a test is left out, as this machine lacks what it takes. Where the setting is there that requires it
/// (`.ci/run` and the targets of `make` set them), nothing may be left out.
///
/// # Panics
///
/// Where nothing may be left out.
pub fn left_out(required: &str, lacks: &str) {
    assert!(std::env::var_os(required).is_none(), "this machine lacks {lacks}, which {required} requires");
    eprintln!("left out: this machine lacks {lacks}");
}
