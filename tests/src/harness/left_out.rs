//! Programs that are not ours and that a machine may lack.

/// Says that a part of a test is left out, as this machine lacks what it takes. Where `LEADLINE_CLIENTS_REQUIRED` is set,
/// as `scripts/client-check` does, nothing may be left out.
///
/// # Panics
///
/// Where nothing may be left out.
pub fn left_out(lacks: &str) {
    assert!(std::env::var_os("LEADLINE_CLIENTS_REQUIRED").is_none(), "this machine lacks {lacks}");
    eprintln!("left out: this machine lacks {lacks}");
}
