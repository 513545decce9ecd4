//! An allocator that keeps large blocks for the next step.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The system's allocator, with a store of large blocks that were given back.
///
/// A training step allocates the same activations and gradients as the step before. The system's allocator returns
/// blocks of that size to the operating system, which hands them out again page by page, zeroed, at a cost above that of
/// using them. Here the next step finds them again. The store is bounded, and what has not been asked for in a while
/// goes back.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: aelab_kernels::ReusingAllocator = aelab_kernels::ReusingAllocator;
/// # fn main() { assert_eq!(vec![1_u8; 1 << 20].len(), 1 << 20) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ReusingAllocator;

/// Blocks from this size on are kept: below it the system's allocator keeps them itself.
const SMALLEST: usize = 1 << 16;
/// Blocks above this size are not kept.
const LARGEST: usize = 1 << 26;
/// Bytes that are kept at most.
const MOST_BYTES: usize = 1 << 29;
/// Blocks that are kept at most.
const MOST_BLOCKS: usize = 256;
/// A block for which so many others were given back in the meantime goes to the system.
const MOST_WAITING: u64 = 1024;
/// A cache line, and the width of the widest vector registers.
const ALIGNMENT: usize = 64;

#[derive(Clone, Copy)]
struct Block {
    address: usize,
    size: usize,
    since: u64,
}

struct Store {
    blocks: [Block; MOST_BLOCKS],
    num: usize,
    num_bytes: usize,
    time: u64,
}

static STORE: Mutex<Store> =
    Mutex::new(Store { blocks: [Block { address: 0, size: 0, since: 0 }; MOST_BLOCKS], num: 0, num_bytes: 0, time: 0 });

/// What is allocated for a block that is kept: sizes in steps of at most an eighth, so that sizes that differ a little meet. `None`
/// for blocks that are the system's own affair.
fn kept(layout: Layout) -> Option<Layout> {
    if !(SMALLEST..=LARGEST).contains(&layout.size()) || layout.align() > ALIGNMENT {
        return None;
    }
    let step = (layout.size().next_power_of_two() >> 4).max(4096);
    Layout::from_size_align(layout.size().next_multiple_of(step), ALIGNMENT).ok()
}

fn store() -> MutexGuard<'static, Store> {
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    fn remove(&mut self, index: usize) -> Block {
        let block = self.blocks[index];
        self.num -= 1;
        self.num_bytes -= block.size;
        self.blocks[index] = self.blocks[self.num];
        block
    }

    /// The block of this size that was given back last: the one most likely in the caches.
    fn take(&mut self, size: usize) -> Option<*mut u8> {
        let fitting = (0..self.num).filter(|index| self.blocks[*index].size == size);
        let index = fitting.max_by_key(|index| self.blocks[*index].since)?;
        Some(self.remove(index).address as *mut u8)
    }

    /// Keeps a block.
    fn put(&mut self, address: *mut u8, size: usize) {
        self.time += 1;
        self.blocks[self.num] = Block { address: address as usize, size, since: self.time };
        self.num += 1;
        self.num_bytes += size;
    }

    /// The block that has waited longest, where it has waited too long or there is no room for another of `size`.
    fn take_surplus(&mut self, size: usize) -> Option<Block> {
        let index = (0..self.num).min_by_key(|index| self.blocks[*index].since)?;
        let is_old = self.time - self.blocks[index].since >= MOST_WAITING;
        let is_full = self.num == MOST_BLOCKS || self.num_bytes + size > MOST_BYTES;
        (is_old || is_full).then(|| self.remove(index))
    }
}

// SAFETY: small and very large blocks are passed to the system as they come. A block that is kept was allocated by the system
// with the layout of `kept`, which is a function of its own layout alone and at least as large and as aligned; it is handed out only to
// requests of the same `kept` size, by one caller at a time, and given to the system with that layout. Nothing here allocates
// or panics: the table has a fixed size, and `take_surplus` has made room before `put`.
unsafe impl GlobalAlloc for ReusingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(kept) = kept(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        if let Some(address) = store().take(kept.size()) {
            return address;
        }
        // SAFETY: the size is at least that of the caller's layout, which is not zero.
        unsafe { System.alloc(kept) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        let Some(kept) = kept(layout) else {
            // SAFETY: the caller's promise; `alloc` gave this layout to the system as well.
            return unsafe { System.dealloc(address, layout) };
        };
        loop {
            let mut store = store();
            let Some(surplus) = store.take_surplus(kept.size()) else {
                return store.put(address, kept.size());
            };
            drop(store);
            if let Ok(layout) = Layout::from_size_align(surplus.size, ALIGNMENT) {
                // SAFETY: the block came from the system with this layout, and the store has it no more.
                unsafe { System.dealloc(surplus.address as *mut u8, layout) };
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if kept(layout).is_none() {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise.
        let address = unsafe { self.alloc(layout) };
        if !address.is_null() {
            // SAFETY: the block has at least the size of the layout.
            unsafe { address.write_bytes(0, layout.size()) };
        }
        address
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else { return std::ptr::null_mut() };
        match (kept(layout), kept(new_layout)) {
            // SAFETY: the caller's promise; the system knows the block by this layout.
            (None, None) => unsafe { System.realloc(address, layout, new_size) },
            (Some(old), Some(new)) if old == new => address,
            _ => {
                // SAFETY: the new size is not zero, by the caller's promise.
                let new = unsafe { self.alloc(new_layout) };
                if !new.is_null() {
                    // SAFETY: two blocks of at least so many bytes, of which the new one is nobody else's; the old one is given back with
                    // the layout that it was asked for with.
                    unsafe {
                        new.copy_from_nonoverlapping(address, layout.size().min(new_size));
                        self.dealloc(address, layout);
                    }
                }
                new
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: ReusingAllocator = ReusingAllocator;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    #[test]
    fn a_block_is_as_large_as_asked_and_at_most_an_eighth_larger() {
        for size in [SMALLEST, SMALLEST + 1, 100_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, LARGEST] {
            let kept = kept(layout(size)).unwrap().size();
            assert!(kept >= size && kept - size <= (size / 8).max(4096), "{size}: {kept}");
        }
        assert!(kept(layout(SMALLEST - 1)).is_none() && kept(layout(LARGEST + 1)).is_none());
    }

    #[test]
    fn vectors_of_all_sizes_keep_their_numbers_while_they_grow_on_many_threads() {
        std::thread::scope(|scope| {
            for seed in 0..4_u64 {
                scope.spawn(move || {
                    let mut vectors: Vec<Vec<u64>> = Vec::new();
                    for round in 0..300_u64 {
                        let mut vector = vec![0; (round * 137 % 50_000) as usize];
                        assert!(vector.iter().all(|number| *number == 0));
                        vector.extend(0..round * 61 % 40_000);
                        vector.shrink_to(vector.len() / 2);
                        vector.push(seed);
                        vectors.push(vector);
                        if round % 3 == 0 {
                            let dropped = vectors.swap_remove((round * 7) as usize % vectors.len());
                            assert_eq!(dropped.last(), Some(&seed));
                        }
                    }
                    for vector in vectors {
                        let tail = vector.iter().rev().skip(1).take(10).rev().copied();
                        assert!(tail.zip(0..).count() <= 10 && vector.last() == Some(&seed));
                    }
                });
            }
        });
    }

    #[test]
    fn the_store_hands_out_what_fits_and_gives_up_what_waits_too_long_or_is_too_much() {
        let mut store = Store { blocks: [Block { address: 0, size: 0, since: 0 }; MOST_BLOCKS], num: 0, num_bytes: 0, time: 0 };
        store.put(64 as *mut u8, SMALLEST);
        store.put(128 as *mut u8, SMALLEST);
        assert_eq!(store.take(2 * SMALLEST), None);
        assert_eq!(store.take(SMALLEST), Some(128 as *mut u8));
        assert!(store.take_surplus(SMALLEST).is_none());
        assert_eq!(store.take_surplus(MOST_BYTES).map(|block| block.address), Some(64));
        store.put(64 as *mut u8, SMALLEST);
        for _ in 0..MOST_WAITING {
            store.put(256 as *mut u8, 2 * SMALLEST);
            store.take(2 * SMALLEST).unwrap();
        }
        assert_eq!(store.take_surplus(SMALLEST).map(|block| block.address), Some(64));
        assert_eq!((store.num, store.num_bytes), (0, 0));
    }
}
