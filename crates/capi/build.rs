//! Sets how the shared library is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The name under which linked programs find it. Its number changes with the interface, not with
    // the version.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmapvar.so.0");
    }
    // The library stays loaded after `dlclose`: the handler of faults is in it, and the system would
    // call it all the same. macOS keeps every library that has thread-local values. On Windows the
    // handler's installation does it.
    let is = |variable, what: &str| std::env::var(variable).is_ok_and(|found| found == what);
    if is("CARGO_CFG_TARGET_FAMILY", "unix") && !is("CARGO_CFG_TARGET_VENDOR", "apple") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
