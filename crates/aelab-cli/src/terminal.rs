//! Writing to the user: standard output for results, standard error for everything else.

use std::io::{self, IsTerminal, Write};

/// Prints a line to standard output. A reader that has gone away (`| head`) is no reason to fail.
pub(crate) fn print_line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Empties the terminal that standard output is.
pub(crate) fn clear_screen() {
    let mut output = io::stdout().lock();
    let _ = output.write_all(b"\x1b[H\x1b[2J\x1b[3J").and_then(|()| output.flush());
}

/// Prints a line to standard error.
pub(crate) fn print_note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints an error and its causes.
pub(crate) fn print_error(error: &anyhow::Error) {
    let (start, end) = if is_colored() { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
    let mut text = format!("{start}error:{end} {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        // A transparent error says the same as its source.
        let cause = cause.to_string();
        if cause != last {
            text.push_str(&format!("\ncaused by: {cause}"));
        }
        last = cause;
    }
    print_note(&text);
}

/// Prints a warning.
pub(crate) fn print_warning(warning: &str) {
    let (start, end) = if is_colored() { ("\u{1b}[1;33m", "\u{1b}[0m") } else { ("", "") };
    print_note(&format!("{start}warning:{end} {warning}"));
}

/// Whether standard error shows colours and moving bars.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn is_colored() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal that tables go to; `None` where it is a file, in which a row should be a line.
pub(crate) fn terminal_width() -> Option<u16> {
    console::Term::stdout().size_checked().map(|(_, columns)| columns)
}

/// Columns for tables of results, which people read in files, too.
pub(crate) fn width() -> Option<u16> {
    terminal_width().or(Some(FILE_WIDTH))
}

/// Columns of a table of results in a file.
const FILE_WIDTH: u16 = 120;

/// Seconds in the unit that suits them.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0 if seconds < 0.05 => "<0.1 s".to_owned(),
        0..60 if seconds < 10.0 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// Bytes in the unit that suits them.
pub(crate) fn byte_size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        (value, unit) = (value / 1000.0, unit + 1);
    }
    if unit == 0 || value >= 99.5 { format!("{value:.0} {}", units[unit]) } else { format!("{value:.1} {}", units[unit]) }
}

/// A count with its digits in groups of three: `1 234 567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 trial`, `2 trials`.
pub(crate) fn counted(num: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(num as u64), if num == 1 { one } else { many })
}

/// A number in four significant digits.
pub(crate) fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    if (-4..6).contains(&magnitude) { format!("{value:.*}", (3 - magnitude).max(0) as usize) } else { format!("{value:.3e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_numbers_read_well() {
        assert_eq!([0.03, 0.31, 12.4, 61.0, 3725.0].map(duration), ["<0.1 s", "0.3 s", "12 s", "1 min 01 s", "1 h 02 min"]);
        assert_eq!(duration(200_000.0), "2 d 07 h");
        assert_eq!([0, 999, 1000, 1_234_567, 99_600_000].map(byte_size), ["0 B", "999 B", "1.0 kB", "1.2 MB", "100 MB"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!([13.8662, 0.00123456, 123456.7, 1.5e-9].map(significant), ["13.87", "0.001235", "123457", "1.500e-9"]);
    }
}
