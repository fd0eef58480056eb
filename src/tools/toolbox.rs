//! The tools as a run sees them: what is offered, and a call from its arguments to its result.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use serde_json::Value;

use super::asking::{self, Matter, Said};
use super::audit::{Audit, Entry};
use super::{Cx, GROUPS, Problem, Risk, Tool, policy};
use crate::config::tools::Decision;
use crate::gateway::Gateway;
use crate::limits::{TOOL_GRANTS, TOOL_IMAGE_BYTES, TOOL_SUMMARY_CHARS, TOOL_TEXT_BYTES};
use crate::nodes::decisions::Verdict;
use crate::runs::providers::ToolSpec;
use crate::runs::tools::{Scene, ToolOutput, Tools};
use crate::stores::Durability;
use crate::sys::LocalFuture;
use crate::wire::message::Block;

/// All tools of a gateway. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Toolbox(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    gateway: OnceCell<Weak<Gateway>>,
    audit: OnceCell<Audit>,
    /// Session and tool: what somebody has allowed for as long as the gateway runs.
    granted: RefCell<VecDeque<(String, &'static str)>>,
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

    async fn run(self, cx: Cx, tool: &'static Tool, mut arguments: Value) -> ToolOutput {
        if arguments.is_null() {
            arguments = Value::Object(serde_json::Map::new());
        }
        let problems = (tool.function.params)().check(&mut arguments);
        if !problems.is_empty() {
            return ToolOutput::failed(format!("The arguments of {} are wrong: {}", tool.name, problems.join("; ")));
        }
        let summary = cut(&cx.gateway.journal.hide(&(tool.summary)(&arguments)));
        let config = cx.gateway.config.get();
        let decision = policy::decide(&config.tools, tool, tool.risk, &cx.scene);
        let note = |outcome: &str, by: Option<&str>, durability| {
            let scene = &cx.scene;
            self.note(&Entry { scene, tool: tool.name, summary: &summary, decision, outcome, by }, durability)
        };
        let by = match self.allowed(&cx, tool, decision, &arguments, &summary).await {
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
        trimmed(&gateway, output)
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
        let grant = (cx.scene.session.to_string(), tool.name);
        match decision {
            Decision::Allow => return Ok(None),
            Decision::Deny => {
                let text = format!("{} is not allowed here. Tell the user; don't try another way.", tool.name);
                return Err(Refused { outcome: "refused", by: None, text });
            }
            Decision::Ask if (tool.is_listed)(cx, arguments) => return Ok(Some("list".to_owned())),
            Decision::Ask if self.0.granted.borrow().contains(&grant) => return Ok(Some("always".to_owned())),
            Decision::Ask => {}
        }
        let matter = Matter { summary: summary.to_owned(), ..(tool.matter)(cx, arguments) };
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

    fn grant(&self, grant: (String, &'static str)) {
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
                Box::pin(self.clone().run(cx, tool, arguments.clone()))
            }
            _ => {
                let output = ToolOutput::failed(format!("There is no tool named {name}."));
                Box::pin(std::future::ready(output))
            }
        }
    }
}

/// A summary in one line, cut.
fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TOOL_SUMMARY_CHARS).collect();
    if text.chars().nth(TOOL_SUMMARY_CHARS).is_some() { format!("{line}…") } else { line }
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
