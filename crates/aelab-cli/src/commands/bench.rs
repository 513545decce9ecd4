//! `bench`: how long training steps take here, beside the least that they could.

use std::collections::BTreeSet;
use std::time::Duration;

use aelab_bench::{BenchmarkNetwork, Measurement, NETWORKS, Rates, measure, networks_called};
use aelab_experiment::{resolve_device, resolve_device_name};
use aelab_report::{Cell, Column, Row, Table};
use anyhow::{Context, bail};
use serde_json::json;

use crate::EXIT_DONE;
use crate::arguments::BenchArguments;
use crate::terminal::{print_line, print_note, significant, width};

/// Times the networks and prints a table.
pub(crate) fn bench(arguments: &BenchArguments) -> anyhow::Result<u8> {
    let networks = chosen(&arguments.only)?;
    let name = resolve_device_name(&arguments.device)?;
    let device = resolve_device(&name)?;
    if let Some(threads) = arguments.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(usize::from(threads));
        pool.build_global().context("the number of threads cannot be set: computing has begun")?;
    }
    let threads = rayon::current_num_threads();
    let mut rates = Rates::new(device.clone(), !name.starts_with("cuda"));
    let mut rows = Vec::new();
    for network in networks {
        for &batch_size in &arguments.batch_size {
            let duration = Duration::from_secs_f64(arguments.seconds);
            let row = measure(network, batch_size as usize, duration, &device, &mut rates);
            print_note(&format!("{}, batch {batch_size}: {} ms", row.network, significant(row.milliseconds)));
            rows.push(row);
        }
    }
    let (flops, bandwidth) = (rates.product_flops(), rates.copy_bandwidth());
    if arguments.json {
        let all = json!({
            "device": name,
            "threads": threads,
            "product_flops_per_second": flops,
            "copy_bytes_per_second": bandwidth,
            "rows": rows,
        });
        print_line(&serde_json::to_string_pretty(&all)?);
    } else {
        print_line(&table(&rows).to_terminal(width()));
        print_line(&format!(
            "{name}, {threads} thread(s): matrix products {:.0} GFLOP/s, copies {:.1} GB/s (read and written)",
            flops / 1e9,
            bandwidth / 1e9
        ));
        print_line(
            "ms: median; range: nine of ten steps lie above its start, nine of ten below its end; own shapes: the step's matrix products \
             alone, each timed; floor: its multiply-adds at the rate above, then its update as a copy",
        );
    }
    Ok(EXIT_DONE)
}

/// The networks of these names, or whose names contain one of these parts; all where there are none.
fn chosen(parts: &[String]) -> anyhow::Result<Vec<&'static BenchmarkNetwork>> {
    if let Some(part) = parts.iter().find(|part| networks_called(part).is_empty()) {
        let names: Vec<_> = NETWORKS.iter().map(|network| format!("`{}`", network.name)).collect();
        bail!("no network of the benchmark is called `{part}` or contains it; there are {}", names.join(", "));
    }
    let wanted: BTreeSet<usize> = parts.iter().flat_map(|part| networks_called(part)).map(|(index, _)| index).collect();
    Ok(NETWORKS.iter().enumerate().filter(|(index, _)| parts.is_empty() || wanted.contains(index)).map(|(_, network)| network).collect())
}

fn table(rows: &[Measurement]) -> Table {
    let numbers = ["batch", "ms", "range", "Mmul-add", "update MB", "own shapes, ms", "update, ms", "floor, ms", "ms / floor"];
    let columns = std::iter::once(Column::text("network")).chain(numbers.map(Column::number)).collect();
    let row = |row: &Measurement| {
        let floor = &row.floor;
        let text = |value: f64| Cell::Text(three_digits(value));
        Row::new(vec![
            Cell::Text(row.network.to_owned()),
            Cell::Integer(row.batch_size as u64),
            text(row.milliseconds),
            Cell::Text(format!("{}-{}", three_digits(row.fast_milliseconds), three_digits(row.slow_milliseconds))),
            text(floor.multiply_adds as f64 / 1e6),
            text(floor.update_bytes as f64 / 1e6),
            text(floor.products_own_shapes_ms),
            text(floor.update_ms),
            text(floor.floor_ms),
            text(row.ratio_to_floor),
        ])
    };
    Table { columns, rows: rows.iter().map(row).collect() }
}

/// Three significant digits, no more than three behind the point.
fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_chosen_by_parts_of_their_names_and_an_unknown_part_is_named() {
        let names = |parts: &[&str]| -> anyhow::Result<Vec<&str>> {
            let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            Ok(chosen(&parts)?.iter().map(|network| network.name).collect())
        };
        assert_eq!(names(&[]).unwrap().len(), NETWORKS.len());
        assert_eq!(names(&["vae", "rbm"]).unwrap(), ["vae 784-400-20", "vae conv 1-32-64-20", "rbm 784-1000 cd-1"]);
        let error = names(&["vae", "gan"]).unwrap_err().to_string();
        assert!(error.contains("`gan`") && error.contains("`784-32`"), "{error}");
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([123.4, 12.34, 1.234, 0.1234, 0.0].map(three_digits), ["123", "12.3", "1.23", "0.123", "0.000"]);
    }

    #[test]
    fn a_row_shows_the_time_beside_the_floor() {
        let device = resolve_device("flex").unwrap();
        let row = measure(&NETWORKS[1], 2, Duration::ZERO, &device, &mut Rates::new(device.clone(), true));
        let text = table(std::slice::from_ref(&row)).to_terminal(None);
        assert!(text.contains("784-32") && text.contains(&three_digits(row.ratio_to_floor)), "{text}");
    }
}
