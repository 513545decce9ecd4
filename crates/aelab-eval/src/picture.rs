//! The data of a picture: what is to be seen, not how it is drawn.

/// A picture of one evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// File name without its extension, in snake case: `reconstruction`.
    pub name: String,
    /// What is shown; whoever draws puts model and data before it.
    pub title: String,
    /// What is shown.
    pub content: PictureContent,
}

impl Picture {
    /// A picture with its file name and its title.
    pub(crate) fn new(name: &str, title: impl Into<String>, content: PictureContent) -> Self {
        Self { name: name.to_owned(), title: title.into(), content }
    }
}

/// Examples that belong together: the inputs, their reconstructions.
#[derive(Debug, Clone, PartialEq)]
pub struct ExampleRow {
    /// What they are.
    pub caption: String,
    /// Flattened, one after the other.
    pub values: Vec<f32>,
}

impl ExampleRow {
    /// A row of examples under its caption.
    pub(crate) fn new(caption: impl Into<String>, values: Vec<f32>) -> Self {
        Self { caption: caption.into(), values }
    }
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<[f64; 2]>,
    /// Whether it is something to compare with: drawn dashed.
    pub is_baseline: bool,
}

/// Bars of one colour, one per group.
#[derive(Debug, Clone, PartialEq)]
pub struct BarSeries {
    /// Its name in the legend.
    pub name: String,
    /// A height per group; NaN where there is none.
    pub heights: Vec<f64>,
    /// Half the length of the interval around each height; empty where there are none.
    pub half_widths: Vec<f64>,
}

/// One panel of a vector field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldPanel {
    /// What is shown.
    pub caption: String,
    /// Where each arrow starts and where it ends.
    pub arrows: Vec<[[f32; 2]; 2]>,
}

/// The kinds of pictures.
#[derive(Debug, Clone, PartialEq)]
pub enum PictureContent {
    /// Images one above the other, example by example. Images are flattened `[channel, height, width]` and not clipped.
    ImageRows {
        /// Rows of images, the inputs first.
        rows: Vec<ExampleRow>,
        /// `[channel, height, width]`.
        shape: [usize; 3],
        /// A label above each column, or nothing.
        labels: Vec<String>,
    },
    /// Images in a grid, flattened `[channel, height, width]`, one after the other.
    ImageGrid {
        /// The images.
        images: Vec<f32>,
        /// `[channel, height, width]`.
        shape: [usize; 3],
        /// Images to a row; as many as fit for `None`.
        columns: Option<usize>,
    },
    /// Series laid over each other, example by example, flattened `[time, channel]`. What a series lacks is NaN.
    SeriesRows {
        /// Lines of each panel, the one to compare with first.
        rows: Vec<ExampleRow>,
        /// `[time, channel]`.
        shape: [usize; 2],
        /// A label of each panel, or nothing.
        labels: Vec<String>,
    },
    /// Points in a plane.
    Scatter {
        /// One per example.
        points: Vec<[f32; 2]>,
        /// Class of each example, where the data has classes.
        labels: Option<Vec<u32>>,
        /// Names of the classes, where they have any.
        class_names: Option<Vec<String>>,
        /// What is at each axis.
        axes: [String; 2],
    },
    /// A chart of lines.
    Lines {
        /// The lines.
        lines: Vec<Line>,
        /// What is at each axis, with its unit.
        axes: [String; 2],
        /// Which axes are logarithmic.
        logarithmic: [bool; 2],
    },
    /// Bars side by side in groups.
    Bars {
        /// Name of each group.
        groups: Vec<String>,
        /// The bars of each group.
        series: Vec<BarSeries>,
        /// What the height is, with its unit.
        axis: String,
    },
    /// A matrix of values as colours.
    Heatmap {
        /// Names of the rows.
        rows: Vec<String>,
        /// Names of the columns.
        columns: Vec<String>,
        /// Values, row after row.
        values: Vec<f64>,
        /// What the rows, the columns and the values are.
        axes: [String; 3],
    },
    /// Arrows over points in a plane, panel beside panel.
    VectorField {
        /// Examples of the data, the same in every panel.
        points: Vec<[f32; 2]>,
        /// The panels.
        panels: Vec<FieldPanel>,
    },
}
