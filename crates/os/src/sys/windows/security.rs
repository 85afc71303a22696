//! Who may use what we make, and who made what we find.

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

/// Memory that the system gave us by `LocalAlloc`.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a call that documents `LocalFree` as its release, is owned
        // by this value alone and freed once. Null is allowed.
        unsafe { LocalFree(self.0) };
    }
}

/// The security descriptor of everything we make: this user and the system, nobody else, and
/// nothing inherited from a folder or from the token's defaults.
pub(super) struct Private(Local);

impl Private {
    pub(super) fn new() -> Result<Self> {
        let user = token_sid(TokenUser)?;
        // The owner is named, too: an administrator's objects would belong to the whole group.
        let text = Wide::new(format!("O:{user}D:P(A;;GA;;;{user})(A;;GA;;;SY)"))?;
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero, the place for the answer is valid, and the size of the
        // answer may be left out.
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

    /// For a call that makes an object.
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
    /// Valid for as long as `self`.
    pub(super) fn as_ptr(&self) -> *const SECURITY_ATTRIBUTES {
        &raw const self.raw
    }
}

/// Whether an object belongs to this user, or to the group that owns what this user makes. One
/// that tells no owner is nobody's we know. The handle needs `READ_CONTROL`.
pub(super) fn is_ours(object: BorrowedHandle<'_>) -> Result<bool> {
    let mut owner: PSID = null_mut();
    let mut descriptor = null_mut();
    // SAFETY: the handle is open for as long as it is borrowed, the two places for the answers are
    // valid, and the others may be left out.
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
    // It answers its code instead of leaving it behind.
    if code != ERROR_SUCCESS {
        return Err(cvt(io::Error::from_raw_os_error(code.cast_signed())));
    }
    let _descriptor = Local(descriptor);
    if owner.is_null() {
        return Ok(false);
    }
    // SAFETY: `owner` points into the descriptor that the system made, which lives until the end
    // of this function.
    let owner = unsafe { sid_text(owner) }?;
    Ok(owner == token_sid(TokenUser)? || owner == token_sid(TokenOwner)?)
}

/// A SID of this process, as text.
fn token_sid(class: TOKEN_INFORMATION_CLASS) -> Result<String> {
    let mut token: HANDLE = null_mut();
    // SAFETY: no argument.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: a process may always ask about itself; the place for the answer is valid.
    if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(last());
    }
    // SAFETY: the call gave us this handle, and nobody else has it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // TOKEN_USER is 16 bytes, TOKEN_OWNER 8, and a SID at most 68 behind it.
    let mut buffer = [0_u64; 16];
    let mut len = 0;
    // SAFETY: the buffer is as long as is said, writable, and aligned to 8, which is what both
    // structures need.
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
    // Both structures begin with the pointer to the SID, which lies behind them in the buffer, so
    // that the pointer's provenance is the buffer's.
    let exposed = buffer.as_mut_ptr().expose_provenance();
    let [first, ..] = buffer;
    debug_assert!((first as usize).wrapping_sub(exposed) < size_of_val(&buffer));
    // SAFETY: the system wrote a valid SID there, and the buffer lives until the end of this
    // function.
    unsafe { sid_text(with_exposed_provenance_mut(first as usize)) }
}

/// A SID in its usual spelling, `S-1-5-...`.
///
/// # Safety
/// `sid` points to a valid SID.
unsafe fn sid_text(sid: PSID) -> Result<String> {
    let mut text = null_mut();
    // SAFETY: the caller promises that the SID is valid; the place for the answer is.
    if unsafe { ConvertSidToStringSidW(sid, &raw mut text) } == 0 {
        return Err(last());
    }
    let _text = Local(text.cast());
    let mut spelled = String::new();
    let mut at = text;
    loop {
        // SAFETY: the text ends with a zero, at which this loop stops, and nothing before that is
        // outside of it.
        let unit = unsafe { at.read() };
        match char::from_u32(unit.into()) {
            Some('\0') | None => return Ok(spelled),
            Some(letter) => spelled.push(letter),
        }
        // SAFETY: there was no zero at `at`, so the next unit is still part of the text.
        at = unsafe { at.add(1) };
    }
}
