//! Colours that people with any kind of colour vision can tell apart.

/// Series of a line chart: Okabe and Ito 2008, <https://jfly.uni-koeln.de/color/>, yellow left out
/// because it vanishes on white.
pub(crate) const SERIES: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

/// Classes of a scatter plot: the muted scheme of Paul Tol, <https://personal.sron.nl/~pault/>, and a dark grey.
pub(crate) const CLASSES: [&str; 10] =
    ["#332288", "#88CCEE", "#117733", "#DDCC77", "#CC6677", "#44AA99", "#882255", "#999933", "#AA4499", "#555555"];

/// Text and axes.
pub(crate) const INK: &str = "#222222";
/// What is less important than the data.
pub(crate) const MUTED: &str = "#595959";
/// Grid lines.
pub(crate) const GRID: &str = "#e4e4e4";
/// Unlabelled points.
pub(crate) const UNLABELLED: &str = "#4d4d4d";

/// Colour number `index` of `count` in an order that means something or where there are too many for
/// names: dark blue to ochre, evenly bright steps (anchors of the viridis map).
pub(crate) fn sequential(index: usize, count: usize) -> String {
    const ANCHORS: [[f64; 3]; 5] =
        [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [222.0, 195.0, 30.0]];
    let position = index as f64 / (count.max(2) - 1) as f64 * (ANCHORS.len() - 1) as f64;
    let low = (position.floor() as usize).min(ANCHORS.len() - 2);
    let share = (position - low as f64).clamp(0.0, 1.0);
    let mix = |channel: usize| (ANCHORS[low][channel] * (1.0 - share) + ANCHORS[low + 1][channel] * share).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

/// Colour of line `index` of `count`: distinct colours while there are enough, a sequence beyond.
pub(crate) fn line(index: usize, count: usize) -> String {
    if count <= SERIES.len() { SERIES[index % SERIES.len()].to_owned() } else { sequential(index, count) }
}
