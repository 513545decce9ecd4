//! Draws the time of a step over the batch size and over the width of the code, each beside its floor.
//!
//! ```text
//! cargo run --release -p aelab-bench --example curves -- FOLDER [SECONDS]
//! ```

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use aelab_bench::{BenchmarkNetwork, Measurement, Rates, WIDTHS, measure, networks_called};
use aelab_report::{ChartLine, LineChart, line_chart, write_figure};
use burn::tensor::Device;

/// As in the program.
#[global_allocator]
static ALLOCATOR: aelab_kernels::ReusingAllocator = aelab_kernels::ReusingAllocator;

/// Networks over the batch size, and a name for each that fits into a legend.
const OVER_BATCH_SIZES: [&str; 4] = ["784-1000-500-250-30", "784-32", "conv 1-32-64-32", "vae 784-400-20"];
const BATCH_SIZES: [usize; 9] = [8, 16, 32, 64, 128, 256, 512, 1024, 2048];
/// Examples of a step where the width varies.
const BATCH_SIZE: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().ok_or("name a folder to draw into")?);
    let duration = Duration::from_secs_f64(arguments.get(1).map_or(Ok(1.0), |text| text.parse())?);
    let device = Device::flex();
    let mut rates = Rates::new(device.clone(), true);
    let mut timed = |network: &BenchmarkNetwork, batch_size: usize| -> std::io::Result<Measurement> {
        let found = measure(network, batch_size, duration, &device, &mut rates);
        writeln!(std::io::stderr(), "{}, batch {batch_size}: {:.3} ms", found.network, found.milliseconds)?;
        Ok(found)
    };

    let mut lines = Vec::new();
    for (_, network) in
        OVER_BATCH_SIZES.iter().flat_map(|name| networks_called(name)).filter(|(_, network)| OVER_BATCH_SIZES.contains(&network.name))
    {
        let rows = BATCH_SIZES.iter().map(|&batch_size| timed(network, batch_size)).collect::<Result<Vec<_>, _>>()?;
        let of_example = |milliseconds: fn(&Measurement) -> f64| -> Vec<(f64, f64)> {
            rows.iter().map(|row| (row.batch_size as f64, milliseconds(row) * 1e3 / row.batch_size as f64)).collect()
        };
        lines.extend(with_floor(network.name, of_example(|row| row.milliseconds), of_example(|row| row.floor.floor_ms)));
    }
    draw(&folder.join("step_by_batch_size.png"), "Time of a training step per example", ["batch size", "microseconds per example"], lines)?;

    let mut rows = Vec::new();
    for network in WIDTHS {
        rows.push((width(network), timed(network, BATCH_SIZE)?));
    }
    let over_width = |milliseconds: fn(&Measurement) -> f64| rows.iter().map(|(width, row)| (*width, milliseconds(row))).collect();
    let lines = with_floor("784-width-784", over_width(|row| row.milliseconds), over_width(|row| row.floor.floor_ms));
    draw(&folder.join("step_by_width.png"), "Time of a training step, batch 128", ["width of the code", "milliseconds"], lines.into())?;
    Ok(())
}

/// The code's width, which ends the name.
fn width(network: &BenchmarkNetwork) -> f64 {
    network.name.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(f64::NAN)
}

fn with_floor(name: &str, measured: Vec<(f64, f64)>, floor: Vec<(f64, f64)>) -> [ChartLine; 2] {
    [
        ChartLine { name: name.to_owned(), points: measured, is_baseline: false },
        ChartLine { name: format!("{name}, floor"), points: floor, is_baseline: true },
    ]
}

fn draw(path: &Path, title: &str, axes: [&str; 2], mut lines: Vec<ChartLine>) -> Result<(), Box<dyn std::error::Error>> {
    // Lines first: a floor has the colour of its line where there is one for each, in their order.
    lines.sort_by_key(|line| line.is_baseline);
    let chart = LineChart { title, subtitle: "dashed: the floor", axes, logarithmic: [true, true], lines };
    Ok(write_figure(path, &line_chart(&chart)?)?)
}
