//! Every kind of figure as a PNG file: it decodes, has its size, and shows something in its colours.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

use aelab_core::{Image, Split};
use aelab_report::*;

fn check(image: Image, expected_width: u32, color: [u8; 3]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figures/figure.png");
    write_figure(&path, &image).unwrap();
    let decoded = image::open(&path).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (image.width as u32, image.height as u32));
    assert_eq!(decoded.width(), expected_width);
    let pixels = decoded.as_rgb8().expect("figures are in colour");
    assert_eq!(pixels.get_pixel(0, 0).0, [255; 3], "paper is white");
    let near = |pixel: &[u8]| pixel.iter().zip(color).all(|(value, wanted)| value.abs_diff(wanted) <= 12);
    assert!(pixels.as_raw().chunks(3).filter(|pixel| near(pixel)).count() > 40, "the data is drawn in {color:?}");
}

const BLUE: [u8; 3] = [0x00, 0x72, 0xb2];

#[test]
fn metric_against_hyperparameter_is_drawn() {
    let point = |x: f64| MetricPoint { x, mean: 20.0 / x, deviation: Some(1.0 / x), x_deviation: None };
    let series = vec![MetricSeries { name: "vae".into(), points: [2.0, 4.0, 8.0, 16.0].map(point).to_vec() }];
    let baselines = vec![Baseline { name: "PCA".into(), points: vec![(2.0, 12.0), (16.0, 1.5)] }];
    let figure = MetricFigure {
        title: "SSE against code size".into(),
        subtitle: String::new(),
        x_label: "code size".into(),
        y_label: "SSE (squared units per example)".into(),
        series,
        baselines,
        log_x: None,
        log_y: None,
    };
    check(metric_against_hyperparameter(&figure).unwrap(), 1400, BLUE);
}

#[test]
fn learning_curves_are_drawn() {
    let points: Vec<(f64, f64)> = (0..20).map(|epoch| (f64::from(epoch), 100.0 / f64::from(epoch + 1))).collect();
    let curve = |split| Curve { name: "vae".into(), split, points: points.clone() };
    let panel = CurvePanel { y_label: "loss (nats per example)".into(), curves: vec![curve(Split::Train), curve(Split::Valid)] };
    let figure = LearningCurves { title: "Learning curves".into(), subtitle: String::new(), panels: vec![panel; 3] };
    check(learning_curves(&figure).unwrap(), 1400, BLUE);
}

#[test]
fn latent_scatter_is_drawn() {
    let points: Vec<[f32; 2]> = (0..100).map(|index| [(index as f32).sin(), (index as f32 * 0.7).cos()]).collect();
    let figure = LatentScatter { title: "Codes", subtitle: "", points: &points, labels: &[], class_names: &[], axes: ["z₁", "z₂"] };
    let image = latent_scatter(&figure).unwrap();
    let width = image.width as u32;
    check(image, width, [0x5f; 3]);
}

#[test]
fn grids_of_images_are_drawn_in_grey_and_colour() {
    let red: Vec<f32> = (0..6 * 3 * 16).map(|index| f32::from(u8::from(index / 16 % 3 == 0))).collect();
    let samples = SampleGrid { title: "Samples", subtitle: "", shape: [3, 4, 4], samples: &red, columns: Some(3) };
    check(sample_grid(&samples).unwrap(), 900, [255, 0, 0]);
    let grey = vec![0.5f32; 10 * 64];
    let rows = vec![ImageRow { caption: "input", examples: &grey }, ImageRow { caption: "reconstruction", examples: &grey }];
    let figure = ReconstructionGrid { title: "Reconstructions", subtitle: "", shape: [1, 8, 8], rows, labels: &[] };
    let image = reconstruction_grid(&figure).unwrap();
    let width = image.width as u32;
    assert!((1200..=1400).contains(&width));
    check(image, width, [128; 3]);
}

#[test]
fn charts_of_tasks_are_drawn() {
    let lines = vec![
        ChartLine { name: "ours".into(), points: (1..30).map(|x| (f64::from(x), 1.0 / f64::from(x))).collect(), is_baseline: false },
        ChartLine { name: "PCA".into(), points: vec![(1.0, 0.5)], is_baseline: true },
    ];
    let figure = LineChart { title: "t", subtitle: "", axes: ["k", "error"], logarithmic: [true, true], lines };
    check(line_chart(&figure).unwrap(), 1400, BLUE);

    let groups = ["T-shirt/top".to_owned(), "Trouser".to_owned()];
    let series = vec![BarChartSeries { name: "ours", heights: &[0.9, 0.8], half_widths: &[0.01, 0.02] }];
    let figure = BarChart { title: "t", subtitle: "", axis: "AUROC", groups: &groups, series };
    check(bar_chart(&figure).unwrap(), 1400, BLUE);

    let names: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
    let figure = HeatMap {
        title: "t",
        subtitle: "",
        axes: ["code", "factor", "nats"],
        rows: &names,
        columns: &names,
        values: &[0.0, 1.0, 2.0, 3.0],
    };
    check(heat_map(&figure).unwrap(), 1400, [68, 1, 84]);

    let panels = vec![ArrowPanel { caption: "ours", arrows: &[[[0.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]]] }];
    let figure = VectorFields { title: "t", subtitle: "", points: &[[0.0, 0.0], [1.0, 1.0]], panels };
    let image = vector_fields(&figure).unwrap();
    let width = image.width as u32;
    check(image, width, BLUE);
}
