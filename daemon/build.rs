//! A new migration must end up in the executable although no source file changed.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
