//! Pointers of the caller's, as far as they can be looked at.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use crate::status::Error;

/// Something of the caller's to be read.
///
/// # Safety
/// If it is neither null nor misaligned, `pointer` points to a `T` that nobody changes for as long as `'a`.
pub(crate) unsafe fn read<'a, T>(pointer: *const T) -> Result<&'a T, Error> {
    check(pointer)?;
    // SAFETY: the caller's promise; it is neither null nor misaligned.
    Ok(unsafe { &*pointer })
}

/// A place of the caller's for a result.
///
/// # Safety
/// If it is neither null nor misaligned, `pointer` points to memory for a `T`, and nobody else uses it for as long as `'a`.
pub(crate) unsafe fn put<'a, T>(pointer: *mut T) -> Result<&'a mut MaybeUninit<T>, Error> {
    check(pointer)?;
    // SAFETY: the caller's promise; it is neither null nor misaligned, and what is in it is not looked at.
    Ok(unsafe { &mut *pointer.cast() })
}

/// So many bytes of the caller's. Null will do for none.
///
/// # Safety
/// If it is not null, `data` points to `length` bytes that nobody changes for as long as `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const u8, length: usize) -> Result<&'a [u8], Error> {
    if length == 0 {
        return Ok(&[]);
    }
    check(data)?;
    if isize::try_from(length).is_err() {
        return Err(Error::invalid(format!("{length} bytes are more than there can be")));
    }
    // SAFETY: the caller's promise; it is not null, and no longer than anything can be.
    Ok(unsafe { std::slice::from_raw_parts(data, length) })
}

/// A text of the caller's.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn text<'a>(text: *const c_char, length: usize) -> Result<&'a str, Error> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(text.cast(), length) }?;
    std::str::from_utf8(bytes).map_err(|error| Error::invalid(format!("the text is not UTF-8: {error}")))
}

fn check<T>(pointer: *const T) -> Result<(), Error> {
    if pointer.is_null() {
        Err(Error::invalid("a pointer is null"))
    } else if pointer.is_aligned() {
        Ok(())
    } else {
        Err(Error::invalid(format!("a pointer is not a multiple of {}", align_of::<T>())))
    }
}
