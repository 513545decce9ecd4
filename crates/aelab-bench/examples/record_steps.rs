//! The first steps of the benchmark's networks, for another program to repeat: a folder for each network and batch size.
//!
//! ```text
//! cargo run --release -p aelab-bench --example record_steps -- FOLDER [NAME_OR_PART [BATCH_SIZE...]]
//! ```

use std::path::Path;

use aelab_bench::{networks_called, record_steps};
use burn::tensor::Device;

/// As many as the issue of the benchmark asks to agree.
const NUM_STEPS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("name a folder to write into")?;
    let wanted = arguments.get(1).map_or("", String::as_str);
    let batch_sizes: Vec<usize> = arguments.iter().skip(2).map(|text| text.parse()).collect::<Result<_, _>>()?;
    for (index, network) in networks_called(wanted) {
        for &batch_size in if batch_sizes.is_empty() { &[128][..] } else { &batch_sizes } {
            let folder = Path::new(folder).join(format!("{index:02}-{batch_size}"));
            record_steps(network, batch_size, NUM_STEPS, &Device::flex().autodiff(), &folder)?;
        }
    }
    Ok(())
}
