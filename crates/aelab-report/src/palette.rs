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

/// Anchors of the viridis map, dark blue to ochre in evenly bright steps; its yellow end darkened, to be seen on white.
const SEQUENTIAL: [[f64; 3]; 5] = [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [222.0, 195.0, 30.0]];

/// Blue over white to red: the scheme RdBu of Cynthia Brewer, <https://colorbrewer2.org/>, which is safe for colour-blind people.
const DIVERGING: [[f64; 3]; 7] = [
    [33.0, 102.0, 172.0],
    [103.0, 169.0, 207.0],
    [209.0, 229.0, 240.0],
    [247.0, 247.0, 247.0],
    [253.0, 219.0, 199.0],
    [239.0, 138.0, 98.0],
    [178.0, 24.0, 43.0],
];

/// Red, green and blue at `share` of the way from the first anchor to the last.
fn mixed(anchors: &[[f64; 3]], share: f64) -> [u8; 3] {
    let position = share.clamp(0.0, 1.0) * (anchors.len() - 1) as f64;
    let low = (position.floor() as usize).min(anchors.len() - 2);
    let share = position - low as f64;
    std::array::from_fn(|channel| (anchors[low][channel] * (1.0 - share) + anchors[low + 1][channel] * share).round() as u8)
}

/// The colour of a value that lies `share` of the way, 0 to 1, from the least to the largest.
pub(crate) fn magnitude(share: f64) -> [u8; 3] {
    mixed(&SEQUENTIAL, share)
}

/// The colour of a value that lies `share` of the way, -1 to 1, between the largest values of either sign.
pub(crate) fn signed(share: f64) -> [u8; 3] {
    mixed(&DIVERGING, (share + 1.0) / 2.0)
}

/// Whether dark text is easier to read on a colour than white text is.
pub(crate) fn is_light([red, green, blue]: [u8; 3]) -> bool {
    0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue) > 140.0
}

/// A colour as SVG writes it.
pub(crate) fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Colour number `index` of `count` in an order that means something or where there are too many for names.
pub(crate) fn sequential(index: usize, count: usize) -> String {
    hex(magnitude(index as f64 / (count.max(2) - 1) as f64))
}

/// Colour of line `index` of `count`: distinct colours while there are enough, a sequence beyond.
pub(crate) fn line(index: usize, count: usize) -> String {
    if count <= SERIES.len() { SERIES[index % SERIES.len()].to_owned() } else { sequential(index, count) }
}
