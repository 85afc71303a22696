//! Sets the name under which linked programs find the shared library. Its number changes with the
//! interface, not with the version.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmapvar.so.0");
    }
}
