//! `barnacle import`: what is told about moving in; the work is in [`crate::care::import`].

use std::path::Path;

use super::Environment;
use super::args::Import;
use super::console::Console;
use super::exit::{Exit, Failure};
use crate::care::import::{self, Item};

/// Tells the plan, and does it when that is wanted.
///
/// # Errors
/// What went wrong, with the exit code.
pub fn import(args: &Import, environment: &Environment, console: &mut Console) -> Result<(), Failure> {
    let failed = |problem: String| Failure::new(Exit::Failed, problem);
    let places = super::backup::places(args.config.as_deref(), args.state_dir.as_deref(), environment)?;
    let source = import::find(args.dir.as_deref().map(Path::new), environment).map_err(failed)?;
    let plan = import::plan(&source, &places, environment, args.merge).map_err(failed)?;
    console.print(&format!(
        "from {} to {} and {}\n",
        source.display(),
        places.state_dir.display(),
        places.config_file.display()
    ))?;
    for item in &plan.items {
        let (word, text) = match item {
            Item::Take(text) => ("take", text),
            Item::Same(text) => ("same", text),
            Item::Note(text) => ("note", text),
            Item::Not(text) => ("not ", text),
            Item::Conflict(text) => ("STOP", text),
        };
        console.print(&format!("{word}  {}\n", text.replace('\n', " ")))?;
    }
    if plan.has_conflicts() {
        return Err(failed("something else is there already; nothing was changed".to_owned())
            .hint("--merge keeps it and adds what it doesn't have"));
    }
    if plan.is_done() {
        return console.print("nothing is left to do\n");
    }
    if !args.apply {
        return console.print("nothing was changed; `barnacle import --apply` does it\n");
    }
    plan.apply().map_err(failed)?;
    console.print(
        "done; paired devices go on with their tokens as soon as this gateway runs on the same address and port\n",
    )
}
