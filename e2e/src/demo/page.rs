//! The contact sheet: one HTML file with the thumbnails inside, readable without a network.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::report::Row;
use crate::ledger::Verdict;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --bad: #c62828; --ok: #2e7d32; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
pre { border: 1px solid var(--line); padding: 1rem; overflow-x: auto; }
ul { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); padding: 0; }
li { list-style: none; border: 1px solid var(--line); border-radius: 6px; padding: .6rem; overflow-wrap: anywhere; }
figure { align-items: center; display: flex; height: 128px; justify-content: center; margin: 0 0 .5rem; }
img { background: repeating-conic-gradient(#8883 0 25%, #0000 0 50%) 0 0/16px 16px; }
small { color: GrayText; display: block; } b.ok { color: var(--ok); } b.bad { color: var(--bad); }
.problem { border-color: var(--bad); border-width: 2px; }";

/// The page.
pub(super) fn contact_sheet(rows: &[Row], verdict: &Verdict, took: Duration) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{} pictures</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\n\
         <h1>{} pictures in {:.1} s</h1>\n<pre>{}</pre>\n",
        rows.len(),
        rows.len(),
        took.as_secs_f64(),
        escape(&verdict.to_string()),
    );
    let (ok, failed): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.result == "Ok");
    for (title, rows) in [("Thumbnails", ok), ("Without a thumbnail", failed)] {
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(page, "<h2>{title} ({})</h2>\n<ul>", rows.len());
        rows.into_iter().for_each(|row| card(&mut page, row));
        page.push_str("</ul>\n");
    }
    page
}

fn card(page: &mut String, row: &Row) {
    let _ = write!(page, "<li{}>", if row.problems.is_empty() { "" } else { " class=\"problem\"" });
    if let (Some((content_type, bytes)), Some(original)) = (&row.thumbnail_bytes, &row.original) {
        let data = BASE64.encode(bytes);
        let (original, name, content_type) = (escape(original), escape(&row.name), escape(content_type));
        let _ = write!(
            page,
            "<figure><a href=\"{original}\"><img src=\"data:{content_type};base64,{data}\" alt=\"{name}\"></a></figure>"
        );
    }
    let class = if row.result == "Ok" { "ok" } else { "bad" };
    let code = row.code.as_deref().map_or_else(String::new, |code| format!(" {code}"));
    let _ = write!(page, "<b class=\"{class}\">{}{}</b> #{} {}", row.result, escape(&code), row.id, escape(&row.name));
    if let (Some(width), Some(height), Some(bytes)) = (row.width, row.height, row.source_bytes) {
        let _ = write!(page, "<small>{width}x{height}, {}</small>", size(bytes));
    }
    if row.result == "Error" && row.as_expected == Some(true) {
        page.push_str("<small>as expected</small>");
    }
    for text in [&row.description, &row.note].into_iter().chain(&row.problems).filter(|text| !text.is_empty()) {
        let _ = write!(page, "<small>{}</small>", escape(text));
    }
    page.push_str("</li>\n");
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_stays_text() {
        let row = Row {
            id: 1,
            name: "https://a.example/<script>alert(1)</script>\"'&".into(),
            note: "<b>".into(),
            result: "Error",
            code: Some("<i>".into()),
            description: "<u>".into(),
            problems: vec!["<s>".into()],
            as_expected: Some(false),
            attempts: None,
            width: None,
            height: None,
            source_bytes: None,
            content_type: None,
            original: None,
            thumbnail: None,
            thumbnail_bytes: None,
        };
        let page = contact_sheet(&[row], &Verdict::default(), Duration::from_secs(1));
        for tag in ["<script", "<b>", "<i>", "<u>", "<s>"] {
            assert!(!page.contains(tag), "{tag} in {page}");
        }
        assert!(page.contains("&lt;script&gt;") && page.contains("&quot;&#39;&amp;"), "{page}");
        assert!(page.contains("class=\"problem\""));
    }

    #[test]
    fn a_thumbnail_is_part_of_the_page() {
        let row = Row {
            id: 1,
            name: "cat".into(),
            note: String::new(),
            result: "Ok",
            code: None,
            description: String::new(),
            problems: Vec::new(),
            as_expected: Some(true),
            attempts: Some(1),
            width: Some(3),
            height: Some(2),
            source_bytes: Some(1234),
            content_type: Some("image/png".into()),
            original: Some("originals/0001-cat.png".into()),
            thumbnail: Some("thumbnails/0001-cat.png".into()),
            thumbnail_bytes: Some(("image/png".into(), bytes::Bytes::from_static(b"\x01\x02\x03"))),
        };
        let page = contact_sheet(&[row], &Verdict::default(), Duration::from_secs(1));
        for part in ["data:image/png;base64,AQID", "href=\"originals/0001-cat.png\"", "3x2, 1.2 kB"] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("http://") && !page.contains("https://"), "it needs no network");
    }
}
