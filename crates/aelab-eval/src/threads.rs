//! Threads of their own for the linear algebra in `f64`.

/// Runs `work` in threads that end afterwards, as many as there are otherwise.
///
/// faer's kernels leave the upper halves of the vector registers in use. On the processor that this was
/// measured on, scalar code with an occasional `exp` then takes thirty times as long on the same thread.
pub(crate) fn in_own_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match rayon::ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build() {
        Ok(pool) => pool.install(work),
        // No more threads to be had: slow is better than nothing.
        Err(_) => work(),
    }
}
