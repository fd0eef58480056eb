//! One turn of an agent: prompt, model, tools, and again, until the answer stands in the transcript.
//!
//! The order at the end is: transcript durable, then `lifecycle` end, then `chat` final. Whoever has
//! seen the end finds the answer after a power cut.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use serde_json::{Value, json};

use super::Context;
use super::choice::{self, Candidate};
use super::prompt;
use super::providers::{Answer, Bounds, Delta, Fault, FaultKind, Finished, Prompt, ToolSpec};
use super::run::{End, Origin, Outcome, Run, Stop};
use super::stream::{RunStream, is_silence};
use super::tools::{Scene, ToolOutput};
use crate::config::agents::Verbose;
use crate::config::models::Model;
use crate::limits::TOOL_ROUNDS;
use crate::skills;
use crate::stores::{Durability, Entry, StoreError};
use crate::wire::event::{ChatState, Lifecycle};
use crate::wire::message::{AssistantMessage, Block, Message, StopReason, ToolResultMessage, Usage, text_of};
use crate::wire::thinking::ThinkingLevel;

/// A token is at least this many bytes of transcript, JSON and all; errs on the side of a prompt
/// that fits.
const BYTES_PER_TOKEN: u64 = 3;
/// How often a prompt that is too long is halved before the turn fails.
const SHORTENINGS: u32 = 3;
/// Characters of a tool's result that an event shows (methods.md section 4).
const SHOWN_RESULT_CHARS: usize = 8000;
/// The answer's provider when the gateway itself speaks.
pub const OURSELVES: &str = "barnacle";

/// What a turn gathers on its way.
#[derive(Debug, Default)]
struct Gathered {
    texts: Vec<String>,
    model: (String, String),
    /// The model's window.
    context_tokens: Option<u64>,
    usage: Usage,
}

/// Runs a turn to its end.
pub(super) async fn run(cx: Rc<Context>, run: Rc<Run>) -> Rc<Outcome> {
    let ask = &run.ask;
    let mut stream =
        RunStream::new(cx.sys.clone(), cx.hub.clone(), ask.run_id.clone(), &ask.key, ask.shown_key.clone())
            .heard_by(Rc::clone(&run.listener));
    let started_at = cx.timestamp();
    run.begun.set(Some(started_at));
    stream.lifecycle(Lifecycle::Start { started_at });
    let mut gathered = Gathered::default();
    let end = {
        let mut work = pin!(rounds(&cx, &run, &mut stream, &mut gathered));
        let mut stop = pin!(run.stop.wait());
        let mut alarm = cx.sys.clock.sleep(ask.timeout);
        poll_fn(|task| {
            if let Poll::Ready(end) = work.as_mut().poll(task) {
                return Poll::Ready(end.map_or_else(End::Failed, |()| End::Completed));
            }
            if let Poll::Ready(stop) = stop.as_mut().poll(task) {
                return Poll::Ready(End::Stopped(stop));
            }
            alarm.as_mut().poll(task).map(|()| End::Stopped(Stop::Timeout))
        })
        .await
    };
    if let End::Stopped(_) = end {
        keep_partial(&cx, &run, &stream, &gathered);
    }
    announce(&cx, &run, &mut stream, &end, started_at, &gathered);
    run.announced.set(());
    settle(&cx, &run, &end, &gathered);
    // A stopped run's partial answer and the counters need not hold anybody up.
    if let Err(error) = cx.stores.transcripts.synced(&ask.file).await {
        log::warn!("run {}: the transcript is not durable: {error}", ask.run_id);
    }
    let ended_at = cx.sys.clock.now_ms();
    Rc::new(Outcome { end, started_at, ended_at, texts: gathered.texts, model: gathered.model, usage: gathered.usage })
}

/// Model calls and tool calls until the model is done.
async fn rounds(cx: &Rc<Context>, run: &Run, stream: &mut RunStream, gathered: &mut Gathered) -> Result<(), String> {
    let ask = &run.ask;
    let config = cx.config.get();
    let agent = config.agents.find(&ask.agent_id).unwrap_or_else(|| config.agents.default_agent()).clone();
    let mut entry = cx.stores.sessions.get(&ask.key).unwrap_or_default();
    if let Some(model) = &ask.model {
        (entry.model_override, entry.provider_override) = (Some(model.clone()), None);
    }
    let candidates = choice::candidates(&cx.sys, &config, &agent, &entry, &cx.local).await;
    if candidates.models.is_empty() {
        if let Some((reference, error)) = candidates.unusable.first() {
            return Err(format!("All models failed ({}): {reference}: {error}", candidates.unusable.len()));
        }
        return say_what_to_configure(cx, run, stream, gathered).await;
    }
    let level = ask.thinking.or_else(|| ThinkingLevel::parse(entry.thinking_level.as_deref()?));
    let workspace = skills::workspace_of(&config, &cx.places, &agent.id);
    let tools = cx.tools.offered(&scene_of(run));
    let tools_bytes: usize = tools.iter().map(size_of_spec).sum();
    // Without a tool nothing can be read up on.
    let skills = (!tools.is_empty()).then(|| skills::offer(&cx.sys, &config, &cx.places, &workspace)).flatten();
    let system = prompt::system(
        &cx.sys,
        &prompt::Parts {
            agent_name: agent.identity.name.as_deref().or(agent.name.as_deref()).unwrap_or("Barnacle"),
            workspace: &workspace,
            file_chars: usize::try_from(config.agents.defaults.bootstrap_max_chars).unwrap_or(usize::MAX),
            skills: skills.as_deref(),
            extra: ask.extra_system_prompt.as_deref(),
        },
    );
    let mut plan = Plan { candidates: candidates.models, next: 0, shortened: 0, failures: Vec::new() };
    // What this run itself added to the conversation.
    let mut own: Vec<Message> = Vec::new();
    for _ in 0..TOOL_ROUNDS {
        let finished = loop {
            let (provider, model) = plan.current()?.clone();
            let thinking = level.or(config.agents.defaults.thinking).unwrap_or(if model.reasoning {
                ThinkingLevel::Low
            } else {
                ThinkingLevel::Off
            });
            gathered.model = (provider.id.clone(), model.id.clone());
            gathered.context_tokens = Some(model.context_window);
            let mut messages = history(cx, run, &model, system.len(), plan.shortened)?;
            messages.extend(own.iter().cloned());
            let prompt = Prompt {
                system: system.clone(),
                messages,
                tools: if fits(tools_bytes, &model) { tools.clone() } else { Vec::new() },
                thinking,
                session_id: ask.file.session_id().to_owned(),
            };
            let bounds = Bounds {
                output_bytes: usize::try_from(cx.limits.run_output_bytes).unwrap_or(usize::MAX),
                response_bytes: cx.limits.provider_response_bytes,
            };
            let answer = Answer::start(cx.sys.clone(), Rc::clone(&provider), model.clone(), prompt, bounds);
            let (finished, fault) = listen(answer, stream).await;
            add(&mut gathered.usage, &finished.usage);
            match fault {
                None => break finished,
                Some(fault) => {
                    let visible = !finished.content.is_empty();
                    let names = (provider.id.as_str(), model.id.as_str(), provider.api.name());
                    record(cx, run, names, &finished, Some(&fault.message))?;
                    plan.failed(&fault, visible)?;
                }
            }
        };
        let (provider, model) = plan.current()?;
        let names = (provider.id.as_str(), model.id.as_str(), provider.api.name());
        own.push(record(cx, run, names, &finished, None)?);
        let text = text_of(&finished.content);
        if !text.trim().is_empty() && !is_silence(&text) {
            gathered.texts.push(text);
        }
        let calls: Vec<_> = finished
            .content
            .into_iter()
            .filter_map(|block| match block {
                Block::ToolCall { id, name, arguments } => Some((id, name, arguments)),
                _ => None,
            })
            .collect();
        if calls.is_empty() {
            let saved = cx.stores.transcripts.synced(&ask.file).await;
            return saved.map_err(|error| not_saved(&error));
        }
        for (id, name, arguments) in calls {
            own.push(call_tool(cx, run, stream, id, name, arguments).await?);
        }
        stream.next_message();
    }
    Err(format!("The agent asked for tools {TOOL_ROUNDS} times without an answer; stopped."))
}

/// Whether the descriptions of tools leave a model enough of its window: at least three quarters. A small model
/// that reads of tools only is worth less than one that has none.
fn fits(tools_bytes: usize, model: &Model) -> bool {
    tools_bytes as u64 <= model.context_window.saturating_mul(BYTES_PER_TOKEN) / 4
}

fn size_of_spec(spec: &ToolSpec) -> usize {
    spec.name.len() + spec.description.len() + spec.parameters.to_string().len()
}

/// Which model is tried now, and what went wrong before.
struct Plan {
    candidates: Vec<Candidate>,
    next: usize,
    shortened: u32,
    failures: Vec<String>,
}

impl Plan {
    fn current(&self) -> Result<&Candidate, String> {
        self.candidates.get(self.next).ok_or_else(|| self.all_failed())
    }

    fn all_failed(&self) -> String {
        match self.failures.as_slice() {
            [only] => only.split_once(": ").map_or_else(|| only.clone(), |(_, reason)| reason.to_owned()),
            all => format!("All models failed ({}): {}", all.len(), all.join(" | ")),
        }
    }

    /// Goes on with a shorter prompt or the next model, if that can help and nothing was shown yet.
    fn failed(&mut self, fault: &Fault, visible: bool) -> Result<(), String> {
        let name = self.current().map(|(provider, model)| format!("{}/{}", provider.id, model.id))?;
        if visible {
            return Err(fault.message.clone());
        }
        if fault.kind == FaultKind::TooLong && self.shortened < SHORTENINGS {
            self.shortened += 1;
            return Ok(());
        }
        self.failures.push(format!("{name}: {}", fault.message));
        if !fault.kind.worth_a_fallback() {
            return Err(self.all_failed());
        }
        self.next += 1;
        self.shortened = 0;
        self.current().map(|_| ())
    }
}

/// Passes on what the model says until it is done or fails.
async fn listen(mut answer: Answer, stream: &mut RunStream) -> (Finished, Option<Fault>) {
    let fault = loop {
        match answer.next().await {
            Ok(Some(Delta::Text(text))) => stream.say(&text),
            Ok(Some(Delta::Thinking(text))) => stream.think(&text),
            Ok(None) => break None,
            Err(fault) => break Some(fault),
        }
    };
    (answer.finish(), fault)
}

/// The conversation before this run, and the message that it answers last: behind the answers that
/// were given while it waited its turn.
fn history(
    cx: &Context,
    run: &Run,
    model: &Model,
    system_bytes: usize,
    shortened: u32,
) -> Result<Vec<Message>, String> {
    let ask = &run.ask;
    let window = model.context_window.saturating_sub(model.max_tokens.min(model.context_window / 2));
    let room = (window * BYTES_PER_TOKEN).saturating_sub(system_bytes as u64).max(4096).min(cx.limits.prompt_bytes);
    let room = usize::try_from(room >> shortened).unwrap_or(usize::MAX);
    let read = cx.stores.transcripts.history_for_prompt(&ask.file, room).map(|read| read.items);
    let messages = read.unwrap_or_else(|error| {
        log::warn!("run {}: the transcript can't be read: {error}", ask.run_id);
        Vec::new()
    });
    let mut before = Vec::with_capacity(messages.len());
    let mut asked = None;
    for message in messages {
        match &message {
            Message::User(user) if user.timestamp == ask.message_ts => asked = Some(message),
            // It came later, so it is answered later.
            Message::User(_) if asked.is_some() => {}
            // What this very run has recorded is added by the caller.
            _ if asked.is_some() && run.begun.get().is_some_and(|begun| message.timestamp() >= begun) => {}
            _ => before.push(message),
        }
    }
    let Some(asked) = asked else {
        return Err(format!(
            "The message doesn't fit into what {} can read at once ({} tokens); shorten it, or choose another model.",
            model.id, model.context_window
        ));
    };
    before.push(asked);
    Ok(before)
}

/// Writes what a model said, or how it failed, into the transcript and the books.
fn record(
    cx: &Context,
    run: &Run,
    (provider, model, api): (&str, &str, &str),
    finished: &Finished,
    fault: Option<&str>,
) -> Result<Message, String> {
    let message = Message::Assistant(AssistantMessage {
        content: finished.content.clone(),
        api: api.to_owned(),
        provider: provider.to_owned(),
        model: model.to_owned(),
        usage: finished.usage,
        stop_reason: if fault.is_some() { StopReason::Error } else { finished.stop_reason },
        error_message: fault.map(str::to_owned),
        timestamp: cx.timestamp(),
    });
    cx.stores.transcripts.append(&run.ask.file, &message).map_err(|error| not_saved(&error))?;
    if let Err(error) = cx.stores.usage.record(cx.sys.clock.now_ms(), provider, model, &finished.usage) {
        log::warn!("usage is not recorded: {error}");
    }
    Ok(message)
}

fn not_saved(error: &StoreError) -> String {
    format!("The answer could not be saved: {error}.")
}

/// Runs one tool and tells everybody.
async fn call_tool(
    cx: &Context,
    run: &Run,
    stream: &mut RunStream,
    id: String,
    name: String,
    arguments: Value,
) -> Result<Message, String> {
    let entry = cx.stores.sessions.get(&run.ask.key).unwrap_or_default();
    let is_shown = match entry.verbose_level.as_deref() {
        Some(level) => matches!(level, "on" | "full"),
        None => cx.config.get().agents.defaults.verbose != Verbose::Off,
    };
    let show = |stream: &mut RunStream, data: Value| {
        if let Ok(data) = serde_json::value::to_raw_value(&data) {
            stream.tool(data, is_shown);
        }
    };
    show(stream, json!({"phase": "start", "name": name, "toolCallId": id, "args": arguments}));
    let output = cx.tools.call(&scene_of(run), &name, &arguments).await;
    let result = json!({"content": shown(&output), "details": output.details});
    show(
        stream,
        json!({
            "phase": "result", "name": name, "toolCallId": id, "isError": output.is_error, "result": result,
        }),
    );
    let message = Message::ToolResult(ToolResultMessage {
        tool_call_id: id,
        tool_name: name,
        content: output.content,
        details: output.details,
        is_error: output.is_error,
        timestamp: cx.timestamp(),
    });
    cx.stores.transcripts.append(&run.ask.file, &message).map_err(|error| not_saved(&error))?;
    Ok(message)
}

fn scene_of(run: &Run) -> Scene {
    let ask = &run.ask;
    Scene {
        session: ask.key.clone(),
        agent_id: ask.agent_id.clone(),
        run_id: ask.run_id.clone(),
        asker: ask.asker.clone(),
    }
}

/// A tool's result as events show it: long texts cut, images left out.
fn shown(output: &ToolOutput) -> Vec<Value> {
    let block = |block: &Block| match block {
        Block::Text { text } => Some(match text.char_indices().nth(SHOWN_RESULT_CHARS) {
            Some((end, _)) => {
                json!({"type": "text", "text": format!("{}\n…(truncated)…", text.get(..end).unwrap_or_default())})
            }
            None => json!({"type": "text", "text": text}),
        }),
        Block::Image { data, mime_type } => {
            Some(json!({"type": "image", "mimeType": mime_type, "bytes": data.len() / 4 * 3, "omitted": true}))
        }
        _ => None,
    };
    output.content.iter().filter_map(block).collect()
}

/// Nobody chose a model and none runs here: the gateway says what to do. It never plays the model.
async fn say_what_to_configure(
    cx: &Context,
    run: &Run,
    stream: &mut RunStream,
    gathered: &mut Gathered,
) -> Result<(), String> {
    let text = format!(
        "No model is configured, and no Ollama or llama.cpp server answers on this machine. Paste this there, with \
         your own key, and ask again:\n\nmkdir -p {dir} && echo '{{models:{{providers:{{anthropic:{{apiKey:\"YOUR-KEY\"}}}}}}}}' > {config} && \
         pkill -HUP -x barnacle\n\nCommands work without a model: /help lists them.",
        dir = cx.places.config_file.parent().unwrap_or_else(|| Path::new(".")).display(),
        config = cx.places.config_file.display()
    );
    stream.say(&text);
    let finished = Finished {
        content: vec![Block::Text { text: text.clone() }],
        usage: Usage::default(),
        stop_reason: StopReason::Injected,
    };
    gathered.model = (OURSELVES.to_owned(), String::new());
    gathered.texts.push(text);
    record(cx, run, (OURSELVES, "", ""), &finished, None)?;
    let saved = cx.stores.transcripts.synced(&run.ask.file).await;
    saved.map_err(|error| not_saved(&error))
}

/// What a stopped run has said so far stays in the conversation, marked as stopped.
fn keep_partial(cx: &Context, run: &Run, stream: &RunStream, gathered: &Gathered) {
    let text = stream.text();
    let is_recorded = gathered.texts.last().is_some_and(|last| last == text);
    if text.is_empty() || is_recorded || is_silence(text) {
        return;
    }
    let finished = Finished {
        content: vec![Block::Text { text: text.to_owned() }],
        usage: Usage::default(),
        stop_reason: StopReason::Aborted,
    };
    let (provider, model) = &gathered.model;
    if let Err(error) = record(cx, run, (provider, model, ""), &finished, None) {
        log::warn!("run {}: {error}", run.ask.run_id);
    }
}

/// The last events of a run (methods.md 3.2 and section 5).
fn announce(cx: &Context, run: &Run, stream: &mut RunStream, end: &End, started_at: u64, gathered: &Gathered) {
    let ended_at = cx.sys.clock.now_ms();
    // What was held back is told, or turns out to be silence, before the end is.
    stream.flush();
    let text = Some(stream.text().to_owned()).filter(|text| !text.is_empty());
    match end {
        End::Completed => {
            stream.lifecycle(Lifecycle::End { ended_at, started_at: None, aborted: false });
            stream.chat(ChatState::Final { text, injected: gathered.model.0 == OURSELVES });
        }
        End::Stopped(stop) => {
            stream.lifecycle(Lifecycle::End { ended_at, started_at: Some(started_at), aborted: true });
            // A time limit ends an agent run with what it had; a chat turn is told that it was stopped.
            if *stop == Stop::Timeout && run.ask.origin == Origin::Agent {
                stream.chat(ChatState::Final { text, injected: false });
            } else {
                stream.chat(ChatState::Aborted(stop.name()));
            }
        }
        End::Failed(error) => {
            stream.lifecycle(Lifecycle::Error { started_at, ended_at, error: error.clone() });
            stream.chat(ChatState::Error(error.clone()));
        }
    }
}

/// What the session's entry says of its last run. Counters, so they may be lost in a power cut.
fn settle(cx: &Context, run: &Run, end: &End, gathered: &Gathered) {
    let usage = gathered.usage;
    let update = |entry: &mut Entry| {
        // The session may have begun anew meanwhile.
        if entry.session_id.as_deref() != Some(run.ask.file.session_id()) {
            return;
        }
        entry.aborted_last_run = Some(matches!(end, End::Stopped(_)));
        let (provider, model) = &gathered.model;
        if provider != OURSELVES && !provider.is_empty() {
            entry.model_provider = Some(provider.clone());
            entry.model = Some(model.clone());
            entry.context_tokens = gathered.context_tokens;
        }
        if usage.total_tokens > 0 {
            entry.input_tokens = Some(usage.input);
            entry.output_tokens = Some(usage.output);
            entry.total_tokens = Some(usage.input + usage.cache_read + usage.cache_write);
        }
    };
    if cx.stores.sessions.row(&run.ask.key).is_some() {
        if let Err(error) = cx.stores.sessions.update(&run.ask.key, Durability::Lazy, update) {
            log::warn!("session counters are not recorded: {error}");
        }
    }
}

/// Adds up the usage of several model calls.
fn add(total: &mut Usage, call: &Usage) {
    total.input += call.input;
    total.output += call.output;
    total.cache_read += call.cache_read;
    total.cache_write += call.cache_write;
    total.total_tokens += call.total_tokens;
    if let Some(cost) = &call.cost {
        let sum = total.cost.get_or_insert_default();
        sum.input += cost.input;
        sum.output += cost.output;
        sum.cache_read += cost.cache_read;
        sum.cache_write += cost.cache_write;
        sum.total += cost.total;
    }
}
