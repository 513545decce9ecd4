//! `compare`: configurations of any runs side by side.

use std::path::{Path, PathBuf};

use aelab_experiment::{Collected, ComparisonRequest, CurveRequest, Filter, RunDir, collect};
use aelab_files::write_atomic;
use aelab_report::statistics::PairedTest;
use aelab_report::{Comparison, FigureLink, TradeOff, compare as compare_configurations, metric_against_hyperparameter, write_figure};
use anyhow::{Context, anyhow};

use crate::EXIT_DONE;
use crate::arguments::{CompareArguments, CompareFormat, LogAxis, TestName};
use crate::terminal::{print_line, print_note, width};

/// Prints a comparison and writes its files.
pub(crate) fn compare(arguments: &CompareArguments) -> anyhow::Result<u8> {
    let compared = Compared::of(arguments)?;
    print_line(&compared.text(arguments.format, width()));
    if arguments.format == CompareFormat::Csv {
        // The table has no place for them.
        compared.comparison.notes.iter().for_each(|note| print_note(&format!("note: {note}")));
    }
    if let Some(folder) = &arguments.output {
        for path in compared.write(folder)? {
            print_note(&format!("written: {}", path.display()));
        }
    } else if !compared.curves.is_empty() && arguments.format != CompareFormat::Terminal {
        print_note("note: curves are written where --output says");
    }
    Ok(EXIT_DONE)
}

/// A comparison with its curves.
pub(crate) struct Compared {
    pub(crate) comparison: Comparison,
    pub(crate) curves: Vec<(CurveRequest, TradeOff)>,
}

impl Compared {
    pub(crate) fn of(arguments: &CompareArguments) -> anyhow::Result<Self> {
        let runs = arguments.run.iter().map(|run| RunDir::open(run, &arguments.runs)).collect::<Result<Vec<_>, _>>()?;
        let collected: Collected = collect(&runs)?;
        let request = ComparisonRequest {
            metrics: arguments.metric.clone(),
            rows: arguments.rows.clone(),
            columns: arguments.cols.clone(),
            across: arguments.across.clone(),
            filters: arguments.filter.iter().map(|filter| Filter::parse(filter)).collect::<Result<_, _>>()?,
            test: arguments.test.map(|test| match test {
                TestName::PairedT => PairedTest::PairedT,
                TestName::Wilcoxon => PairedTest::Wilcoxon,
            }),
            baselines: arguments.baselines,
            sort: arguments.sort.clone(),
        };
        let comparison = compare_configurations(collected.comparison(&request)?);
        let mut curves = Vec::new();
        for curve in &arguments.curve {
            let curve = curve_request(curve, &arguments.log)?;
            let drawn = collected.curve(&request, &curve)?;
            curves.push((curve, drawn));
        }
        Ok(Self { comparison, curves })
    }

    pub(crate) fn text(&self, format: CompareFormat, width: Option<u16>) -> String {
        let text = match format {
            CompareFormat::Terminal => {
                let mut text = self.comparison.to_terminal(width);
                for (_, TradeOff { figure, table }) in &self.curves {
                    text.push_str(&format!("\n\n{} ({})\n{}", figure.title, figure.subtitle, table.to_terminal(width)));
                }
                text
            }
            CompareFormat::Markdown => self.comparison.to_markdown(&[]),
            CompareFormat::Csv => self.comparison.csv_table().to_csv(),
            CompareFormat::Json => format!("{:#}", self.comparison.to_json()),
            CompareFormat::Latex => self.comparison.to_latex(),
        };
        text.trim_end().to_owned()
    }

    /// Writes every format and the curves; the paths of what was written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        let mut write = |name: String, text: String| {
            let path = folder.join(name);
            write_atomic(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
            paths.push(path);
            anyhow::Ok(())
        };
        let mut links = Vec::new();
        for (CurveRequest { x, y, .. }, TradeOff { figure, table }) in &self.curves {
            let name = file_name(&format!("curve-{x}-{y}"));
            write(format!("{name}.csv"), table.to_csv())?;
            let path = folder.join(format!("{name}.png"));
            let image = metric_against_hyperparameter(figure).with_context(|| format!("cannot draw {}", path.display()))?;
            write_figure(&path, &image).with_context(|| format!("cannot write {}", path.display()))?;
            links.push(FigureLink { caption: figure.title.clone(), path: format!("{name}.png") });
        }
        write("comparison.md".to_owned(), self.comparison.to_markdown(&links))?;
        write("comparison.csv".to_owned(), self.comparison.csv_table().to_csv())?;
        write("comparison.json".to_owned(), format!("{:#}\n", self.comparison.to_json()))?;
        write("comparison.tex".to_owned(), self.comparison.to_latex())?;
        paths.extend(links.iter().map(|link| folder.join(&link.path)));
        Ok(paths)
    }
}

fn curve_request(text: &str, log: &[LogAxis]) -> anyhow::Result<CurveRequest> {
    let bad = || anyhow!("cannot read the curve `{text}`: expected X:Y, a key or metric and a metric, such as code_size:sse");
    let (x, y) = text.split_once(':').ok_or_else(bad)?;
    if x.trim().is_empty() || y.trim().is_empty() {
        return Err(bad());
    }
    let is_log = |axis: LogAxis| (!log.is_empty()).then(|| log.contains(&axis));
    Ok(CurveRequest { x: x.trim().to_owned(), y: y.trim().to_owned(), log_x: is_log(LogAxis::X), log_y: is_log(LogAxis::Y) })
}

fn file_name(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '-' }).collect()
}
