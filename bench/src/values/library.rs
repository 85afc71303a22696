//! mapvar's C library, loaded as a program in another language loads it.

#![allow(unsafe_code, reason = "the C interface")]

use crate::Result;
use std::{
    ffi::{CStr, CString, c_char, c_void},
    mem::transmute,
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr::null_mut,
};

/// A `mapvar_map *` or `mapvar_value *`.
type Handle = *mut c_void;

// The signatures are those of crates/capi/include/mapvar.h.
type Open = unsafe extern "C" fn(*const c_char, usize, *mut Handle) -> i32;
type GetF64 = unsafe extern "C" fn(Handle, *const c_char, usize, *mut f64) -> i32;
type SetF64 = unsafe extern "C" fn(Handle, *const c_char, usize, f64) -> i32;
type GetField =
    unsafe extern "C" fn(Handle, *const c_char, usize, *const c_char, usize, *mut Handle) -> i32;
type SetField =
    unsafe extern "C" fn(Handle, *const c_char, usize, *const c_char, usize, Handle) -> i32;
type GetFieldF64 =
    unsafe extern "C" fn(Handle, *const c_char, usize, *const c_char, usize, *mut f64) -> i32;
type SetFieldF64 =
    unsafe extern "C" fn(Handle, *const c_char, usize, *const c_char, usize, f64) -> i32;
type ValueF64 = unsafe extern "C" fn(f64, *mut Handle) -> i32;
type ValueAsF64 = unsafe extern "C" fn(Handle, *mut f64) -> i32;
type ValueFree = unsafe extern "C" fn(Handle) -> i32;

/// The functions of the library, which stays loaded.
pub struct Library {
    open: Open,
    get_f64: GetF64,
    set_f64: SetF64,
    get_field: GetField,
    set_field: SetField,
    get_field_f64: GetFieldF64,
    set_field_f64: SetFieldF64,
    value_f64: ValueF64,
    value_as_f64: ValueAsF64,
    value_free: ValueFree,
}

impl Library {
    pub fn load(file: &Path) -> Result<Self> {
        let path = CString::new(file.as_os_str().as_bytes())?;
        // SAFETY: the path is text with a NUL at its end; the library's initializers are those of
        // Rust's standard library.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(format!("{}: cannot be loaded", file.display()).into());
        }
        let find = |name: &CStr| {
            // SAFETY: `library` was loaded above and is never unloaded.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            if found.is_null() {
                Err(format!("{}: no {name:?}", file.display()))
            } else {
                Ok(found)
            }
        };
        Ok(Self {
            // SAFETY: the function has this signature in the library's header.
            open: unsafe { transmute::<*mut c_void, Open>(find(c"mapvar_map_open")?) },
            // SAFETY: as above.
            get_f64: unsafe { transmute::<*mut c_void, GetF64>(find(c"mapvar_map_get_f64")?) },
            // SAFETY: as above.
            set_f64: unsafe { transmute::<*mut c_void, SetF64>(find(c"mapvar_map_set_f64")?) },
            // SAFETY: as above.
            get_field: unsafe {
                transmute::<*mut c_void, GetField>(find(c"mapvar_map_get_field")?)
            },
            // SAFETY: as above.
            set_field: unsafe {
                transmute::<*mut c_void, SetField>(find(c"mapvar_map_set_field")?)
            },
            // SAFETY: as above.
            get_field_f64: unsafe {
                transmute::<*mut c_void, GetFieldF64>(find(c"mapvar_map_get_field_f64")?)
            },
            // SAFETY: as above.
            set_field_f64: unsafe {
                transmute::<*mut c_void, SetFieldF64>(find(c"mapvar_map_set_field_f64")?)
            },
            // SAFETY: as above.
            value_f64: unsafe { transmute::<*mut c_void, ValueF64>(find(c"mapvar_value_f64")?) },
            // SAFETY: as above.
            value_as_f64: unsafe {
                transmute::<*mut c_void, ValueAsF64>(find(c"mapvar_value_as_f64")?)
            },
            // SAFETY: as above.
            value_free: unsafe { transmute::<*mut c_void, ValueFree>(find(c"mapvar_value_free")?) },
        })
    }

    /// Opens the map of this name.
    pub fn open(self, name: &str) -> Result<Opened> {
        let mut map = null_mut();
        let (text, len) = parts(name);
        // SAFETY: the name is `len` bytes, and `map` is space for a handle.
        let code = unsafe { (self.open)(text, len, &raw mut map) };
        if code == 0 {
            Ok(Opened { library: self, map })
        } else {
            Err(format!("mapvar_map_open {name}: error {code}").into())
        }
    }
}

/// A map that is opened through the C library.
pub struct Opened {
    library: Library,
    map: Handle,
}

/// The struct of which fields are read and written.
const STRUCT: &str = "car";

fn parts(text: &str) -> (*const c_char, usize) {
    (text.as_ptr().cast(), text.len())
}

#[inline]
fn check(code: i32) {
    assert_eq!(code, 0, "the C interface");
}

// In the methods below the handle of the map is valid, since nothing closes it; each text is as many
// bytes as its length says; and each result is written to a variable of its type.
impl Opened {
    #[inline]
    pub fn get_f64(&self, name: &str) -> f64 {
        let (mut out, (name, len)) = (0.0, parts(name));
        // SAFETY: see the comment before this `impl`.
        check(unsafe { (self.library.get_f64)(self.map, name, len, &raw mut out) });
        out
    }

    #[inline]
    pub fn set_f64(&self, name: &str, value: f64) {
        let (name, len) = parts(name);
        // SAFETY: as above.
        check(unsafe { (self.library.set_f64)(self.map, name, len, value) });
    }

    #[inline]
    pub fn get_field_f64(&self, path: &str) -> f64 {
        let (mut out, (name, len), (path, path_len)) = (0.0, parts(STRUCT), parts(path));
        let get = self.library.get_field_f64;
        // SAFETY: as above.
        check(unsafe { get(self.map, name, len, path, path_len, &raw mut out) });
        out
    }

    #[inline]
    pub fn set_field_f64(&self, path: &str, value: f64) {
        let ((name, len), (path, path_len)) = (parts(STRUCT), parts(path));
        let set = self.library.set_field_f64;
        // SAFETY: as above.
        check(unsafe { set(self.map, name, len, path, path_len, value) });
    }

    /// Reads the field as a value of whatever kind, and frees that.
    #[inline]
    pub fn get_field(&self, path: &str) -> f64 {
        let (mut value, mut out) = (null_mut(), 0.0);
        let ((name, len), (path, path_len)) = (parts(STRUCT), parts(path));
        let get = self.library.get_field;
        // SAFETY: as above.
        check(unsafe { get(self.map, name, len, path, path_len, &raw mut value) });
        // SAFETY: the call above has made this value.
        check(unsafe { (self.library.value_as_f64)(value, &raw mut out) });
        // SAFETY: as above; nothing uses it after this.
        check(unsafe { (self.library.value_free)(value) });
        out
    }

    /// Makes a value, sets the field to it, and frees it.
    #[inline]
    pub fn set_field(&self, path: &str, number: f64) {
        let mut value = null_mut();
        let ((name, len), (path, path_len)) = (parts(STRUCT), parts(path));
        let set = self.library.set_field;
        // SAFETY: as above.
        check(unsafe { (self.library.value_f64)(number, &raw mut value) });
        // SAFETY: as above, and the call before has made this value.
        check(unsafe { set(self.map, name, len, path, path_len, value) });
        // SAFETY: the value was made above, and nothing uses it after this.
        check(unsafe { (self.library.value_free)(value) });
    }
}
