//! `logs.tail` (methods.md 14.3).

use crate::error::Error;
use crate::journal::{Ask, guide_line};
use crate::now;
use crate::rpc::{Cx, Method};
use crate::wire::Access;
use crate::wire::shape::{Kind, int, int_within};

/// Rows.
pub const METHODS: &[Method] = &[Method {
    name: "logs.tail",
    aliases: &[],
    access: Access::Read,
    listed: true,
    doc: "Reads the log from a cursor on; the answer's cursor continues after its last line.",
    handler: now!(tail),
}];

crate::wire! {
    /// From where, and how much.
    pub struct TailParams {
        /// Byte position in the file; without it, the end.
        cursor: Option<u64> = int(0),
        /// Most lines, 500 by default.
        limit: Option<u64> = int_within(1, 5000),
        /// Most bytes, 250,000 by default.
        max_bytes: Option<u64> = int_within(1, 1_000_000),
        /// Lines as they are on disk (`json`), or for people (`text`, what guide clients get).
        format: Option<String> = Kind::OneOf(&["json", "text"]),
    }

    /// A piece of the log.
    pub struct TailResult {
        file: String,
        cursor: u64,
        size: u64,
        lines: Vec<String>,
        /// Whether older lines were left out.
        truncated: bool,
        /// Whether the cursor could not be continued.
        reset: bool,
    }
}

fn tail(cx: &Cx, params: TailParams) -> Result<TailResult, Error> {
    let ask = Ask {
        cursor: params.cursor,
        limit: usize::try_from(params.limit.unwrap_or(500)).unwrap_or(usize::MAX),
        max_bytes: params.max_bytes.unwrap_or(250_000),
    };
    let tail = cx.gateway.journal.tail(&*cx.gateway.sys.files, ask);
    let lines = if params.format.as_deref() == Some("text") {
        tail.lines.iter().map(|line| guide_line(line)).collect()
    } else {
        tail.lines
    };
    let (file, cursor, size) = (tail.file, tail.cursor, tail.size);
    Ok(TailResult { file, cursor, size, lines, truncated: tail.truncated, reset: tail.reset })
}
