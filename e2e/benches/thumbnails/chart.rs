//! The figures as bars: how many times the downloader's CPU time each peer takes.

use std::fmt::Write as _;

use super::Row;

const WIDTH: f64 = 940.0;
const LABEL: f64 = 190.0;
const BAR: f64 = 14.0;
const GAP: f64 = 12.0;
/// Longer bars are cut, and their number says how long they are.
const RATIO_MAX: f64 = 12.0;
const COLOURS: [&str; 5] = ["#2a7f62", "#8c6bb1", "#4292c6", "#d9a441", "#b0b0b0"];

/// An SVG for light and dark pages.
pub(crate) fn draw(rows: &[Row]) -> String {
    let peers = rows.first().map_or(0, |row| row.cells.len());
    let row_height = peers as f64 * BAR + GAP;
    let height = 60.0 + rows.len() as f64 * row_height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"11\">\n\
         <style>text {{ fill: #222 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} }}</style>\n\
         <text x=\"8\" y=\"18\" font-size=\"14\">CPU time of a thumbnail, times the downloader's (less is better)</text>\n"
    );
    let mut x = 8.0;
    for (cell, colour) in rows.iter().take(1).flat_map(|row| &row.cells).zip(COLOURS) {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"37\">{}</text>",
            x + 14.0,
            cell.peer
        );
        x += 24.0 + 7.0 * cell.peer.len() as f64;
    }
    for (at, row) in rows.iter().enumerate() {
        let top = 52.0 + at as f64 * row_height;
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\">{}</text>",
            top + row_height / 2.0,
            row.job.name().replace('>', "&gt;")
        );
        for ((number, cell), colour) in row.cells.iter().enumerate().zip(COLOURS) {
            let y = top + number as f64 * BAR;
            let width = (WIDTH - LABEL - 130.0) * (cell.ratio / RATIO_MAX).min(1.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{LABEL}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{:.2}x, {:.1} ms</text>",
                BAR - 2.0,
                LABEL + width + 4.0,
                y + BAR - 4.0,
                cell.ratio,
                cell.millis
            );
        }
    }
    svg + "</svg>\n"
}
