//! Milliseconds of one training step of the benchmark's networks, a line of JSON each.
//!
//! ```text
//! RAYON_NUM_THREADS=1 cargo run --release -p aelab-bench --example step_time -- [SECONDS [NAME_OR_PART [BATCH_SIZE...]]]
//! ```

use std::io::Write;
use std::time::Duration;

use aelab_bench::{Steps, networks_called};
use burn::tensor::Device;
use serde_json::json;

#[global_allocator]
static ALLOCATOR: aelab_kernels::ReusingAllocator = aelab_kernels::ReusingAllocator;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds: f64 = arguments.first().map_or(Ok(2.0), |text| text.parse())?;
    let wanted = arguments.get(1).map_or("", String::as_str);
    let batch_sizes: Vec<usize> = arguments.iter().skip(2).map(|text| text.parse()).collect::<Result<_, _>>()?;
    for (_, network) in networks_called(wanted) {
        for &batch_size in if batch_sizes.is_empty() { &[128][..] } else { &batch_sizes } {
            let mut steps = Steps::new(network, batch_size, 1, &Device::flex().autodiff());
            let mut times = steps.time(Duration::from_secs_f64(seconds));
            times.sort_by(f64::total_cmp);
            let line = json!({
                "side": "aelab",
                "network": network.name,
                "batch_size": batch_size,
                "threads": rayon::current_num_threads(),
                "parameters": steps.num_parameters(),
                "steps": times.len(),
                "milliseconds": times[times.len() / 2] * 1e3,
                "loss": steps.step(),
            });
            writeln!(std::io::stdout(), "{line}")?;
        }
    }
    Ok(())
}
