//! `docs/tools.md`, made from the table of tools; a test keeps it fresh.

use std::fmt::Write as _;

use super::commands::USAGE;
use super::{GROUPS, Risk};
use crate::wire::shape::Kind;

/// What stands before the tables.
const HEAD: &str = "# Tools

Made from the table of tools; `tests/docs.rs` keeps it fresh.

An agent acts through tools. Whether a call runs depends on the tool's risk and on whoever asked, never on what a text
says:

| risk | the owner | people who were let in, nodes, the agent by itself (heartbeats) | hooks |
| --- | --- | --- | --- |
| look: what belongs to the conversation or the workspace | allow | allow | allow |
| private: what is somebody's own | allow | ask | deny |
| change: what is the agent's own | allow | ask | deny |
| world: acts outside | ask | ask | deny |

The owner is an operator's client, a scheduled job of the owner's, and everybody of `tools.elevated.allowFrom`.
`tools.policy` decides otherwise where it says so: the first rule that fits counts. For example, Ann may look through
the camera of the garden without a question, and nobody may send text messages:

```json5
{
  tools: {
    elevated: { allowFrom: { telegram: [\"77\"] } },
    policy: [
      { tools: [\"camera_snap\"], senders: [\"telegram:78\"], decision: \"allow\" },
      { tools: [\"sms_send\"], decision: \"deny\" },
    ],
  },
}
```

*Ask* means: clients with `operator.approvals` get `exec.approval.requested`, and chats get a message: the owner's own,
or those of `approvals.exec.targets`. The answer is `/approve ID`, `/approve ID always` (for the rest of the session,
where one call is like the next) or `/deny ID`, or `exec.approval.resolve`. Nobody's answer within three minutes is a no.

Every call is a line in `audit/tools.jsonl` of the state directory: before it acts, and with what came of it. Texts from
outside reach the model between marks that nobody outside can guess. Secrets of the configuration are taken out of what
a tool gives back.

## The tools
";

/// The document.
#[must_use]
pub fn manual() -> String {
    let mut out = HEAD.to_owned();
    for tool in GROUPS.iter().flat_map(|group| group.iter()) {
        let risk = match tool.risk {
            Risk::Look => "look",
            Risk::Private => "private",
            Risk::Change => "change",
            Risk::World => "world",
        };
        let again = if tool.is_steady { "" } else { ", each call anew" };
        let _ = write!(out, "\n### {}\n\n{}\n\n", tool.name, tool.doc);
        let _ = writeln!(out, "`group:{}`, {risk}{again}, {} s.", tool.group.name(), tool.limit.as_secs());
        let Kind::Object(shape) = (tool.function.params)() else { continue };
        if shape.fields.is_empty() {
            continue;
        }
        out.push('\n');
        for field in shape.fields {
            let star = if field.required { "*" } else { "" };
            let _ = writeln!(out, "- `{}`{star} {}", field.name(), field.doc.trim());
        }
    }
    out.push_str("\n## Commands\n\nThey work on every channel and in `barnacle chat`, without a model. The owner's own word needs no approval.\n\n");
    for (usage, doc) in USAGE {
        let _ = writeln!(out, "- `{usage}`: {doc}");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn tools_have_names_of_their_own_a_sentence_and_an_object_of_arguments() {
        let mut names = BTreeSet::new();
        for tool in GROUPS.iter().flat_map(|group| group.iter()) {
            assert!(names.insert(tool.name), "{}", tool.name);
            assert!(
                tool.name.len() <= 64 && tool.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                tool.name
            );
            assert!(tool.doc.ends_with('.') || tool.doc.ends_with("`remind`."), "{}", tool.name);
            assert!(matches!((tool.function.params)(), Kind::Object(_)), "{}", tool.name);
        }
    }
}
