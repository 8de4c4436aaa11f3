//! A table that stays in its place; events scroll by above it.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement};
use crossterm::cursor::MoveToPreviousLine;
use crossterm::terminal::{Clear, ClearType, size};
use crossterm::{Command, cursor::MoveToColumn};

use super::{Event, Report, Row, Summary, bitrate, millis, verdict};

const HEADER: [&str; 15] = [
    "encoding",
    "codec",
    "size",
    "frames",
    "packets",
    "bitrate",
    "target",
    "RTT",
    "loss",
    "NACK",
    "resent",
    "key req.",
    "room: packets",
    "bytes",
    "lost",
];

/// For a terminal.
#[derive(Debug)]
pub struct Table<W> {
    out: W,
    /// The table as it stands on the screen.
    shown: Option<String>,
}

impl<W: Write> Table<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self { out, shown: None }
    }

    /// Shows this table in the place of the last.
    pub(crate) fn show(&mut self, table: String) -> io::Result<()> {
        self.write("", Some(table))
    }

    /// Takes the table away, for good, and writes what is to stay.
    pub(crate) fn end(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{text}\n"), None)
    }

    pub(crate) fn event_line(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        let table = self.shown.clone();
        self.write(&format!("{:8.3} {}\n", t.as_secs_f64(), event.text), table)
    }

    /// Takes the table away, writes what is to stay, and puts the table back.
    fn write(&mut self, lines: &str, table: Option<String>) -> io::Result<()> {
        let (width, height) = size().map_or((120, 40), |(width, height)| (usize::from(width), usize::from(height)));
        let mut text = String::new();
        if let Some(shown) = self.shown.take() {
            // A terminal that was made narrower has broken its lines; what scrolled out of sight is out of reach.
            let rows: usize = shown.lines().map(|line| line.chars().count().max(1).div_ceil(width.max(1))).sum();
            let rows = rows.min(height.saturating_sub(1));
            ansi(&mut text, MoveToPreviousLine(u16::try_from(rows).unwrap_or(u16::MAX)));
            ansi(&mut text, MoveToColumn(0));
            ansi(&mut text, Clear(ClearType::FromCursorDown));
        }
        text.push_str(lines);
        if let Some(table) = &table {
            text.push_str(table);
            text.push('\n');
        }
        self.shown = table;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write + Send> Report<Vec<Row>, Summary> for Table<W> {
    fn event(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        self.event_line(t, event)
    }

    fn sample(&mut self, _: Duration, rows: &Vec<Row>) -> io::Result<()> {
        self.show(table(rows))
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        // What fails before there is anything to count is said on standard error.
        if summary.rows.is_empty() {
            return Ok(());
        }
        self.end(&format!("{}\n{}", table(&summary.rows), verdict(summary)))
    }
}

fn ansi(text: &mut String, command: impl Command) {
    // Writing to a string does not fail.
    let _ = command.write_ansi(text);
}

fn table(rows: &[Row]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(HEADER);
    for row in rows {
        table.add_row(cells(row));
    }
    table.to_string()
}

fn cells(row: &Row) -> Vec<Cell> {
    let dash = || "-".to_owned();
    let loss = 100.0 * row.sent.lost as f64 / row.sent.packets.max(1) as f64;
    let words = [row.name(), row.codec.to_string()];
    let numbers = [
        row.size.map_or_else(dash, |(width, height)| format!("{width}x{height}")),
        row.sent.frames.to_string(),
        row.sent.packets.to_string(),
        bitrate(row.bitrate_bps),
        row.target_bps.map_or_else(dash, bitrate),
        row.rtt.map_or_else(dash, millis),
        format!("{} ({loss:.1} %)", row.sent.lost),
        row.sent.nacks.to_string(),
        row.sent.retransmitted.to_string(),
        row.sent.key_frame_requests.to_string(),
        row.room.map_or_else(dash, |room| room.packets.to_string()),
        row.room.map_or_else(dash, |room| room.bytes.to_string()),
        row.room.map_or_else(dash, |room| room.lost.to_string()),
    ];
    let numbers = numbers.into_iter().map(|number| Cell::new(number).set_alignment(CellAlignment::Right));
    words.into_iter().map(Cell::new).chain(numbers).collect()
}
