//! Plain lines, for logs.

use std::io::{self, Write};
use std::time::Duration;

use super::{Event, Report, RoomCount, Row, Summary, bitrate, millis, verdict, write_line};

/// For standard output that is no terminal.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
}

impl<W: Write> Lines<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self { out }
    }

    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        write_line(&mut self.out, line)
    }

    pub(crate) fn event_line(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        self.line(&format!("{:8.3} {}", t.as_secs_f64(), event.text))
    }
}

impl<W: Write + Send> Report<Vec<Row>, Summary> for Lines<W> {
    fn event(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        self.event_line(t, event)
    }

    fn sample(&mut self, t: Duration, rows: &Vec<Row>) -> io::Result<()> {
        for row in rows {
            self.line(&format!("{:8.3} {}", t.as_secs_f64(), line(row)))?;
        }
        Ok(())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        for row in &summary.rows {
            self.line(&format!("   total {}", line(row)))?;
        }
        // What fails before there is anything to count is said on standard error.
        if summary.rows.is_empty() { Ok(()) } else { self.line(&verdict(summary)) }
    }
}

fn line(row: &Row) -> String {
    let size = row.size.map(|(width, height)| format!(" {width}x{height}")).unwrap_or_default();
    let target = row.target_bps.map(|bps| format!(" (target {})", bitrate(bps))).unwrap_or_default();
    let rtt = row.rtt.map_or_else(|| "-".to_owned(), millis);
    let counted =
        |room: RoomCount| format!("; room: {} packets, {} bytes, lost {}", room.packets, room.bytes, room.lost);
    let room = row.room.map(counted).unwrap_or_default();
    format!(
        "{:<12} {}{size}: {} frames, {} packets, {}{target}, rtt {rtt}, lost {}, nacks {}, retransmitted {}, \
         key frame requests {}{room}",
        row.name(),
        row.codec,
        row.sent.frames,
        row.sent.packets,
        bitrate(row.bitrate_bps),
        row.sent.lost,
        row.sent.nacks,
        row.sent.retransmitted,
        row.sent.key_frame_requests,
    )
}
