//! Hints of what is read soon.

/// Bytes that are asked for at once at most: of longer rows the processor notices itself that it reads on and on.
const MOST_BYTES: usize = 4096;

/// Asks for memory that is read soon: what is gathered from here and there is waited for otherwise.
pub fn prefetch<T>(values: &[T]) {
    for offset in (0..size_of_val(values).min(MOST_BYTES)).step_by(64) {
        hint(values.as_ptr().cast::<u8>().wrapping_add(offset));
    }
}

/// A page of numbers: the processor reads on by itself, but not from one page into the next.
const PAGE: usize = 1024;

/// Asks for the number that lies a page behind `number`, where an array goes on so far.
#[inline(always)]
pub(crate) fn prefetch_next_page(number: &f32) {
    hint(std::ptr::from_ref(number).wrapping_add(PAGE).cast());
}

#[inline(always)]
fn hint(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE, and a hint neither reads nor fails, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
