//! Notes that outlive conversations: `MEMORY.md` and `memory/*.md` of the workspace, searched by words. No service is
//! asked, nothing is indexed: the files are small and few.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::files::Place;
use super::{Cx, Group, Problem, Risk, Tool};
use crate::limits::{NOTES_FILES, WORKSPACE_WRITE_BYTES};
use crate::runs::tools::ToolOutput;
use crate::wire::shape::{int_within, text_within};

/// Rows.
pub(super) const TOOLS: &[Tool] = &[
    Tool::new(
        "memory_search",
        Group::Notes,
        Risk::Look,
        "Searches your notes by words and shows the best pieces with their place.",
        tool!(search),
    ),
    Tool::new(
        "memory_add",
        Group::Notes,
        Risk::Change,
        "Notes something down for later conversations, in the notes of today.",
        tool!(add),
    ),
];

/// The file of what holds for long, and the directory of daily ones.
const MAIN: &str = "MEMORY.md";
const DAILY: &str = "memory";
/// Lines around a hit that are shown.
const AROUND: usize = 1;

crate::wire! {
    /// What to look for.
    pub struct SearchParams {
        query: String = text_within(1, 500),
        /// How many pieces; 8 when left out.
        max_results: Option<u64> = int_within(1, 50),
    }

    /// What to note.
    pub struct AddParams {
        text: String = text_within(1, 8000),
    }
}

async fn search(cx: Cx, params: SearchParams) -> Result<ToolOutput, Problem> {
    let words = words_of(&params.query);
    if words.is_empty() {
        return Err(Problem::from("Give at least one word."));
    }
    let mut hits: Vec<Hit> = Vec::new();
    for name in files(&cx)? {
        let place = Place::find(&cx, &name)?;
        // A file that is too large or no text is no note.
        let Ok(bytes) = place.bytes(&cx, WORKSPACE_WRITE_BYTES) else { continue };
        hits.extend(hits_in(&name, &String::from_utf8_lossy(&bytes), &words));
    }
    // The best first, and of equal ones the newest note.
    hits.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| b.name.cmp(&a.name)).then_with(|| a.line.cmp(&b.line)));
    let most = usize::try_from(params.max_results.unwrap_or(8)).unwrap_or(usize::MAX);
    let mut out = String::new();
    for hit in hits.iter().take(most) {
        let _ = write!(out, "{}:{}\n{}\n\n", hit.name, hit.line, hit.text);
    }
    Ok(ToolOutput::text(if out.is_empty() { "No note has these words.".to_owned() } else { out.trim_end().to_owned() }))
}

async fn add(cx: Cx, params: AddParams) -> Result<ToolOutput, Problem> {
    let now =
        Timestamp::from_millisecond(i64::try_from(cx.gateway.sys.clock.now_ms()).unwrap_or(0)).unwrap_or_default();
    let now = now.to_zoned(cx.gateway.sys.zone.clone());
    let name = format!("{DAILY}/{}.md", now.strftime("%Y-%m-%d"));
    let place = Place::find(&cx, &name)?;
    let mut bytes = match cx.gateway.sys.files.size(&place.0) {
        Ok(_) => place.bytes(&cx, WORKSPACE_WRITE_BYTES)?,
        Err(_) => format!("# {}\n", now.strftime("%A, %Y-%m-%d")).into_bytes(),
    };
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend(format!("- {} {}\n", now.strftime("%H:%M"), params.text.trim().replace('\n', "\n  ")).into_bytes());
    place.replace(&cx, bytes).await?;
    Ok(ToolOutput::text(format!("Noted in {name}.")))
}

/// The notes, by their paths below the workspace, the newest days first.
fn files(cx: &Cx) -> Result<Vec<String>, Problem> {
    let dir = Place::find(cx, DAILY)?;
    let entries = cx.gateway.sys.files.list(&dir.0).unwrap_or_default();
    let mut names: Vec<_> = entries
        .into_iter()
        .filter(|entry| !entry.is_dir && entry.name.ends_with(".md"))
        .map(|entry| format!("{DAILY}/{}", entry.name))
        .collect();
    names.reverse();
    names.truncate(NOTES_FILES);
    names.insert(0, MAIN.to_owned());
    Ok(names)
}

/// A piece of a note.
#[derive(Debug)]
struct Hit {
    name: String,
    line: usize,
    text: String,
    score: usize,
}

/// Lines that hold words of the query, each with what is around it; a line that another hit shows is not repeated.
fn hits_in(name: &str, text: &str, words: &BTreeSet<String>) -> Vec<Hit> {
    let lines: Vec<&str> = text.lines().collect();
    let scores: Vec<usize> = lines.iter().map(|line| score(line, words)).collect();
    let mut order: Vec<usize> = (0..lines.len()).filter(|&at| scores.get(at).is_some_and(|score| *score > 0)).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(scores.get(at).copied()), at));
    let mut shown = BTreeSet::new();
    let mut hits = Vec::new();
    for at in order {
        if !shown.insert(at) {
            continue;
        }
        let range = at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len());
        shown.extend(range.clone());
        let text = lines.get(range).unwrap_or_default().join("\n");
        hits.push(Hit { name: name.to_owned(), line: at + 1, text, score: scores.get(at).copied().unwrap_or(0) });
    }
    hits
}

/// Two for each word of the query that the line has, one for each that one of its words begins with.
fn score(line: &str, words: &BTreeSet<String>) -> usize {
    let own = words_of(line);
    let points = |word: &String| {
        if own.contains(word) {
            2
        } else {
            usize::from(
                word.chars().count() > 3 && own.range(word.clone()..).next().is_some_and(|next| next.starts_with(word)),
            )
        }
    };
    words.iter().map(points).sum()
}

fn words_of(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_with_most_of_the_words_comes_first_with_what_is_around_it() {
        let text = "# Garden\nThe tomatoes need water.\n\nAnna's birthday is in May.\nShe likes tomatoes and basil.\n";
        let hits = hits_in("MEMORY.md", text, &words_of("tomato birthday anna"));
        assert_eq!((hits[0].line, hits[0].score), (4, 4));
        assert!(hits[0].text.contains("She likes"));
        assert_eq!(hits.len(), 2, "the line after the first hit is shown with it");
        assert_eq!(hits[1].line, 2);
        assert!(hits_in("m", text, &words_of("zebra")).is_empty());
    }
}
