//! The tools as a run sees them: what is offered, and a call from its arguments to its result.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use serde_json::Value;

use super::asking::{self, Matter, Said};
use super::audit::{Audit, Entry};
use super::commands::{self, Line};
use super::{Cx, GROUPS, Group, Problem, Risk, Standing, Tool, pictures, policy};
use crate::config::tools::Decision;
use crate::gateway::Gateway;
use crate::limits::{TOOL_GRANTS, TOOL_IMAGE_BYTES, TOOL_SHOWN_CHARS, TOOL_SUMMARY_CHARS, TOOL_TEXT_BYTES};
use crate::nodes::decisions::Verdict;
use crate::runs::providers::ToolSpec;
use crate::runs::tools::{Scene, ToolOutput, Tools};
use crate::stores::Durability;
use crate::sys::LocalFuture;
use crate::wire::message::Block;

/// A tool, in a session, for whoever asked: others who write into the same session get nothing by it.
type Grant = (String, String, &'static str);

/// All tools of a gateway. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Toolbox(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    gateway: OnceCell<Weak<Gateway>>,
    audit: OnceCell<Audit>,
    /// What somebody has allowed for as long as the gateway runs.
    granted: RefCell<VecDeque<Grant>>,
}

impl Toolbox {
    /// Gives the tools the gateway that they act on. Before that there are none.
    pub fn open(&self, gateway: &Rc<Gateway>, audit: Audit) {
        // A second gateway would have a toolbox of its own.
        let _ = self.0.gateway.set(Rc::downgrade(gateway));
        let _ = self.0.audit.set(audit);
    }

    fn gateway(&self) -> Option<Rc<Gateway>> {
        self.0.gateway.get()?.upgrade()
    }

    /// `is_own_word`: a person wrote a command, so the owner's needs nobody's approval.
    async fn run(self, cx: Cx, tool: &'static Tool, mut arguments: Value, is_own_word: bool) -> ToolOutput {
        if arguments.is_null() {
            arguments = Value::Object(serde_json::Map::new());
        }
        let problems = (tool.function.params)().check(&mut arguments);
        if !problems.is_empty() {
            return ToolOutput::failed(format!("The arguments of {} are wrong: {}", tool.name, problems.join("; ")));
        }
        let whole = cx.gateway.journal.hide(&(tool.summary)(&arguments));
        let summary = cut(&whole, TOOL_SUMMARY_CHARS);
        let config = cx.gateway.config.get();
        let decision = match policy::decide(&config.tools, tool, tool.risk, &cx.scene) {
            Decision::Ask if is_own_word && policy::is_owner(&config.tools, &cx.scene.asker) => Decision::Allow,
            decision => decision,
        };
        let note = |outcome: &str, by: Option<&str>, durability| {
            let scene = &cx.scene;
            self.note(&Entry { scene, tool: tool.name, summary: &summary, decision, outcome, by }, durability)
        };
        let by = match self.allowed(&cx, tool, decision, &arguments, &whole).await {
            Ok(by) => by,
            Err(Refused { outcome, by, text }) => {
                drop(note(outcome, by.as_deref(), Durability::Lazy));
                return ToolOutput::failed(text);
            }
        };
        // What acts is on record before it does.
        let durability = if tool.risk == Risk::Look { Durability::Lazy } else { Durability::Forced };
        let noted = match note("runs", by.as_deref(), durability) {
            Some(durable) if durability == Durability::Forced => durable.await.is_ok(),
            noted => noted.is_some() || durability == Durability::Lazy,
        };
        if !noted {
            return ToolOutput::failed(
                "The call can't be recorded, because the disk takes nothing; so it doesn't run.",
            );
        }
        let gateway = Rc::clone(&cx.gateway);
        let ran = gateway.sys.clock.timeout(tool.limit, (tool.function.run)(cx.clone(), arguments)).await;
        let output = match ran {
            Ok(Ok(output)) => output,
            Ok(Err(Problem(text))) => ToolOutput::failed(text),
            Err(_) => ToolOutput::failed(format!("{} took longer than {} s.", tool.name, tool.limit.as_secs())),
        };
        drop(note(if output.is_error { "failed" } else { "done" }, by.as_deref(), Durability::Lazy));
        let output = trimmed(&gateway, output);
        if tool.group == Group::Nodes { pictures::show(&cx, output).await } else { output }
    }

    /// Whether the call may run, and who allowed it if somebody was asked.
    async fn allowed(
        &self,
        cx: &Cx,
        tool: &'static Tool,
        decision: Decision,
        arguments: &Value,
        summary: &str,
    ) -> Result<Option<String>, Refused> {
        let grant = (cx.scene.session.to_string(), cx.scene.asker.name(), tool.name);
        match decision {
            Decision::Allow => return Ok(None),
            Decision::Deny => {
                let text = format!("{} is not allowed here. Tell the user; don't try another way.", tool.name);
                return Err(Refused { outcome: "refused", by: None, text });
            }
            Decision::Ask => match (tool.standing)(cx, arguments) {
                Standing::Listed => return Ok(Some("list".to_owned())),
                Standing::Closed(why) => {
                    return Err(Refused { outcome: "refused", by: None, text: why.to_owned() });
                }
                Standing::Unknown if self.0.granted.borrow().contains(&grant) => return Ok(Some("always".to_owned())),
                Standing::Unknown => {}
            },
        }
        if summary.chars().count() > TOOL_SHOWN_CHARS {
            let text =
                format!("It is too long to be shown to whoever approves: {TOOL_SHOWN_CHARS} characters at most.");
            return Err(Refused { outcome: "refused", by: None, text });
        }
        let matter = Matter { summary: cut(summary, TOOL_SHOWN_CHARS), ..(tool.matter)(cx, arguments) };
        match asking::ask(cx, tool, matter).await {
            Ok(Some(Said { verdict: Verdict::Deny, by })) => {
                let text = format!("{by} did not allow it. Tell the user; don't try another way.");
                Err(Refused { outcome: "denied", by: Some(by), text })
            }
            Ok(Some(Said { verdict, by })) => {
                if verdict == Verdict::AllowAlways && tool.is_steady {
                    self.grant(grant);
                }
                Ok(Some(by))
            }
            Ok(None) => {
                let text = "Nobody approved it in time. Tell the user.".to_owned();
                Err(Refused { outcome: "expired", by: None, text })
            }
            Err(Problem(text)) => Err(Refused { outcome: "refused", by: None, text }),
        }
    }

    fn grant(&self, grant: Grant) {
        let mut granted = self.0.granted.borrow_mut();
        if granted.len() >= TOOL_GRANTS {
            granted.pop_front();
        }
        granted.push_back(grant);
    }

    fn note(&self, entry: &Entry<'_>, durability: Durability) -> Option<crate::stores::Durable> {
        match self.0.audit.get()?.note(entry, durability) {
            Ok(durable) => Some(durable),
            Err(error) => {
                log::warn!("the log of tool calls takes nothing: {error}");
                None
            }
        }
    }
}

/// Why a call doesn't run.
struct Refused {
    outcome: &'static str,
    by: Option<String>,
    text: String,
}

impl Tools for Toolbox {
    fn offered(&self, scene: &Scene) -> Vec<ToolSpec> {
        let Some(gateway) = self.gateway() else { return Vec::new() };
        let config = gateway.config.get();
        let rows = GROUPS.iter().flat_map(|group| group.iter());
        let offered = rows.filter(|tool| policy::is_offered(&config.tools, tool, scene));
        offered
            .map(|tool| ToolSpec {
                name: tool.name.to_owned(),
                description: tool.doc.to_owned(),
                parameters: (tool.function.params)().schema(),
            })
            .collect()
    }

    fn call(&self, scene: &Scene, name: &str, arguments: &Value) -> LocalFuture<'static, ToolOutput> {
        let tool = GROUPS.iter().flat_map(|group| group.iter()).find(|tool| tool.name == name);
        match (self.gateway(), tool) {
            (Some(gateway), Some(tool)) => {
                let cx = Cx { gateway, scene: Rc::new(scene.clone()) };
                Box::pin(self.clone().run(cx, tool, arguments.clone(), false))
            }
            _ => {
                let output = ToolOutput::failed(format!("There is no tool named {name}."));
                Box::pin(std::future::ready(output))
            }
        }
    }

    fn command(&self, scene: &Scene, text: &str) -> Option<LocalFuture<'static, ToolOutput>> {
        let cx = Cx { gateway: self.gateway()?, scene: Rc::new(scene.clone()) };
        Some(match commands::read(&cx, text)? {
            Line::Call(name, arguments) => {
                let tool = GROUPS.iter().flat_map(|group| group.iter()).find(|tool| tool.name == name)?;
                Box::pin(self.clone().run(cx, tool, arguments, true))
            }
            Line::Own(work) => {
                Box::pin(async move { work.await.unwrap_or_else(|Problem(text)| ToolOutput::failed(text)) })
            }
            Line::Wrong(text) => Box::pin(std::future::ready(ToolOutput::failed(text))),
        })
    }

    fn commands(&self) -> &'static [(&'static str, &'static str)] {
        commands::USAGE
    }
}

/// A summary in one line, cut.
fn cut(text: &str, most: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    if text.chars().nth(most).is_some() { format!("{line}…") } else { line }
}

/// What goes back to the model: within its size, and without the gateway's own secrets.
fn trimmed(gateway: &Gateway, mut output: ToolOutput) -> ToolOutput {
    let mut room = TOOL_TEXT_BYTES;
    for block in &mut output.content {
        match block {
            Block::Text { text } => {
                *text = gateway.journal.hide(text);
                if text.len() > room {
                    let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
                    text.truncate(end);
                    text.push_str("\n[… cut]");
                }
                room = room.saturating_sub(text.len());
            }
            Block::Image { data, .. } if data.len() > TOOL_IMAGE_BYTES => {
                *block = Block::Text { text: "[a picture that is too large to be looked at]".to_owned() };
            }
            _ => {}
        }
    }
    output
}
