//! The access rights of new objects, and the owners of existing ones.

#![allow(unsafe_code, reason = "crates/os is where unsafe lives")]

use super::{
    cvt::{cvt, last},
    names::Wide,
};
use crate::error::Result;
use std::{
    ffi::c_void,
    io,
    marker::PhantomData,
    os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle},
    ptr::{null_mut, with_exposed_provenance_mut},
};
use windows_sys::Win32::{
    Foundation::{ERROR_SUCCESS, HANDLE, LocalFree},
    Security::{
        Authorization::{
            ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW,
            GetSecurityInfo, SDDL_REVISION_1, SE_KERNEL_OBJECT,
        },
        GetTokenInformation, OWNER_SECURITY_INFORMATION, PSID, SECURITY_ATTRIBUTES,
        TOKEN_INFORMATION_CLASS, TOKEN_QUERY, TokenOwner, TokenUser,
    },
    System::Threading::{GetCurrentProcess, OpenProcessToken},
};

/// Memory that the system has allocated by `LocalAlloc`.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a call that documents `LocalFree` as its release. It is
        // owned by this value alone and freed once. Null is allowed.
        unsafe { LocalFree(self.0) };
    }
}

/// The security descriptor of all new objects. It grants access to this user and the system only,
/// and inherits nothing from a folder or from the token's defaults.
pub(super) struct Private(Local);

impl Private {
    pub(super) fn new() -> Result<Self> {
        let user = token_sid(TokenUser)?;
        // The owner is named too: otherwise an administrator's objects would belong to the whole
        // group.
        let text = Wide::new(format!("O:{user}D:P(A;;GA;;;{user})(A;;GA;;;SY)"))?;
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero, the out pointer is valid, and the pointer for the size
        // may be null.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        };
        if done == 0 { Err(last()) } else { Ok(Self(Local(descriptor))) }
    }

    /// Returns the attributes for a call that creates an object.
    pub(super) fn attributes(&self, inherit: bool) -> Attributes<'_> {
        Attributes {
            raw: SECURITY_ATTRIBUTES {
                nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
                lpSecurityDescriptor: self.0.0,
                bInheritHandle: inherit.into(),
            },
            _descriptor: PhantomData,
        }
    }
}

/// Attributes that point to a descriptor, and cannot outlive it.
pub(super) struct Attributes<'a> {
    raw: SECURITY_ATTRIBUTES,
    _descriptor: PhantomData<&'a Private>,
}

impl Attributes<'_> {
    /// Returns a pointer that is valid for as long as `self`.
    pub(super) fn as_ptr(&self) -> *const SECURITY_ATTRIBUTES {
        &raw const self.raw
    }
}

/// Returns whether an object belongs to this user, or to the group that owns this user's new
/// objects. An object without an owner does not. The handle needs `READ_CONTROL`.
pub(super) fn is_ours(object: BorrowedHandle<'_>) -> Result<bool> {
    let mut owner: PSID = null_mut();
    let mut descriptor = null_mut();
    // SAFETY: the handle is open for as long as it is borrowed, the two out pointers are valid, and
    // the others may be null.
    let code = unsafe {
        GetSecurityInfo(
            object.as_raw_handle(),
            SE_KERNEL_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    // The call returns its code and does not set the last error.
    if code != ERROR_SUCCESS {
        return Err(cvt(io::Error::from_raw_os_error(code.cast_signed())));
    }
    let _descriptor = Local(descriptor);
    if owner.is_null() {
        return Ok(false);
    }
    // SAFETY: `owner` points into the descriptor that the system has allocated, which lives until
    // the end of this function.
    let owner = unsafe { sid_text(owner) }?;
    Ok(owner == token_sid(TokenUser)? || owner == token_sid(TokenOwner)?)
}

/// Returns a SID of this process as text.
fn token_sid(class: TOKEN_INFORMATION_CLASS) -> Result<String> {
    let mut token: HANDLE = null_mut();
    // SAFETY: the call takes no argument.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: a process may always query itself, and the out pointer is valid.
    if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(last());
    }
    // SAFETY: the call returned this handle, and no other value owns it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // TOKEN_USER is 16 bytes, TOKEN_OWNER 8, and the SID behind it at most 68.
    let mut buffer = [0_u64; 16];
    let mut len = 0;
    // SAFETY: the buffer has as many bytes as the length says, is writable, and is aligned to 8,
    // which both structures need.
    let done = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            class,
            buffer.as_mut_ptr().cast(),
            size_of_val(&buffer) as u32,
            &raw mut len,
        )
    };
    if done == 0 {
        return Err(last());
    }
    // Both structures begin with the pointer to the SID. The SID lies behind them in the buffer, so
    // the pointer's provenance is the buffer's.
    let exposed = buffer.as_mut_ptr().expose_provenance();
    let [first, ..] = buffer;
    debug_assert!((first as usize).wrapping_sub(exposed) < size_of_val(&buffer));
    // SAFETY: the system has written a valid SID there, and the buffer lives until the end of this
    // function.
    unsafe { sid_text(with_exposed_provenance_mut(first as usize)) }
}

/// Returns a SID in its usual spelling, `S-1-5-...`.
///
/// # Safety
/// `sid` points to a valid SID.
unsafe fn sid_text(sid: PSID) -> Result<String> {
    let mut text = null_mut();
    // SAFETY: the caller promises that the SID is valid, and the out pointer is valid.
    if unsafe { ConvertSidToStringSidW(sid, &raw mut text) } == 0 {
        return Err(last());
    }
    let _text = Local(text.cast());
    let mut spelled = String::new();
    let mut at = text;
    loop {
        // SAFETY: the text ends with a zero, at which this loop stops, and no unit before the zero
        // is outside of it.
        let unit = unsafe { at.read() };
        match char::from_u32(unit.into()) {
            Some('\0') | None => return Ok(spelled),
            Some(letter) => spelled.push(letter),
        }
        // SAFETY: there was no zero at `at`, so the next unit is still part of the text.
        at = unsafe { at.add(1) };
    }
}
