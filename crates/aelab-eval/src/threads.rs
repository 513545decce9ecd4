//! Threads of their own for the linear algebra in `f64`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// By the number of their threads.
static POOLS: Mutex<BTreeMap<usize, Arc<ThreadPool>>> = Mutex::new(BTreeMap::new());

/// Runs `work` in threads that do nothing else, as many as there are otherwise. They are kept: to start them takes longer than
/// a small product.
///
/// faer's kernels leave the upper halves of the vector registers in use. On the processor that this was
/// measured on, scalar code with an occasional `exp` then takes thirty times as long on the same thread.
pub(crate) fn in_own_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match pool(rayon::current_num_threads()) {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// `None` where no more threads are to be had: slow is better than nothing.
fn pool(num_threads: usize) -> Option<Arc<ThreadPool>> {
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pools.get(&num_threads) {
        return Some(Arc::clone(pool));
    }
    let pool = Arc::new(ThreadPoolBuilder::new().num_threads(num_threads).build().ok()?);
    pools.insert(num_threads, Arc::clone(&pool));
    Some(pool)
}
