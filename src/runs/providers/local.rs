//! Looks for a model server on this machine, for an owner who has configured none.
//!
//! Asks loopback addresses only, with short deadlines, and believes an answer only when it looks
//! like the server that it claims to be: many other programs listen on such ports.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::models::{Api, Model, Provider, Rates};
use crate::limits::LOCAL_MODELS;
use crate::sys::Sys;
use crate::sys::http::{Limits, Method, Request};
use crate::sys::reach::Reach;

/// A place where a server may listen.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What kind of server.
    pub kind: Kind,
    /// Its root, without a trailing slash and without `/v1`.
    pub root: &'a str,
}

/// The servers that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ollama.
    Ollama,
    /// llama.cpp's own server.
    LlamaCpp,
}

/// Where they listen when nobody says otherwise, the preferred one first.
pub const USUAL: &[Candidate<'static>] = &[
    Candidate { kind: Kind::Ollama, root: "http://127.0.0.1:11434" },
    Candidate { kind: Kind::LlamaCpp, root: "http://127.0.0.1:8080" },
];

/// Bounds of each question: nobody should wait for a server that isn't there.
const LIMITS: Limits = Limits {
    connect: Duration::from_millis(300),
    first_byte: Duration::from_secs(1),
    idle: Duration::from_secs(1),
    body_bytes: 1024 * 1024,
};
/// One question in all.
const ANSWER: Duration = Duration::from_secs(2);
/// Most models whose details are asked for; the rest get careful values.
const DETAILS_MAX: usize = 8;
/// Context of a model that doesn't tell its own, tokens.
const CONTEXT: u64 = 8192;
/// Most context that is used of a model whose server makes room for it on demand, tokens: a small
/// board runs out of memory long before the model's own limit.
const CONTEXT_MAX: u64 = 16 * 1024;
/// Most tokens of an answer.
const OUTPUT_MAX: u64 = 8192;

/// The first of `candidates` that answers and has a model.
pub async fn find(sys: &Sys, candidates: &[Candidate<'_>]) -> Option<Provider> {
    for candidate in candidates {
        let found = match candidate.kind {
            Kind::Ollama => ollama(sys, candidate.root).await,
            Kind::LlamaCpp => llama_cpp(sys, candidate.root).await,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

async fn ollama(sys: &Sys, root: &str) -> Option<Provider> {
    let tags = ask(sys, format!("{root}/api/tags"), None).await?;
    let mut models = Vec::new();
    for tag in tags.get("models")?.as_array()?.iter().take(LOCAL_MODELS) {
        let id = tag.get("name")?.as_str()?;
        let details = if models.len() < DETAILS_MAX {
            ask(sys, format!("{root}/api/show"), Some(json!({ "model": id }))).await
        } else {
            None
        };
        models.extend(ollama_model(id, &details.unwrap_or_default()));
    }
    provider("ollama", Api::OllamaChat, root.to_owned(), models)
}

/// A model by its `/api/show`; `None` for one that cannot chat.
fn ollama_model(id: &str, details: &Value) -> Option<Model> {
    let abilities = details.get("capabilities").and_then(Value::as_array);
    let can = |ability: &str| abilities.is_some_and(|all| all.iter().any(|have| have.as_str() == Some(ability)));
    if abilities.is_some() && !can("completion") {
        return None;
    }
    let info = details.get("model_info").and_then(Value::as_object);
    let context = info.into_iter().flatten().find(|(key, _)| key.ends_with(".context_length"));
    let context = context.and_then(|(_, value)| value.as_u64()).unwrap_or(CONTEXT).min(CONTEXT_MAX);
    Some(Model { reasoning: can("thinking"), images: can("vision"), ..model(id, context) })
}

async fn llama_cpp(sys: &Sys, root: &str) -> Option<Provider> {
    let list = ask(sys, format!("{root}/v1/models"), None).await?;
    if list.get("object")?.as_str()? != "list" {
        return None;
    }
    let props = ask(sys, format!("{root}/props"), None).await.unwrap_or_default();
    let context = props.pointer("/default_generation_settings/n_ctx").and_then(Value::as_u64).unwrap_or(CONTEXT);
    let images = props.pointer("/modalities/vision").and_then(Value::as_bool).unwrap_or(false);
    let mut models = Vec::new();
    for entry in list.get("data")?.as_array()?.iter().take(LOCAL_MODELS) {
        let id = entry.get("id")?.as_str()?;
        models.push(Model { images, ..model(id, context) });
    }
    provider("llamacpp", Api::OpenaiCompletions, format!("{root}/v1"), models)
}

/// Asks one question; `None` for anything but a JSON answer in time.
async fn ask(sys: &Sys, url: String, body: Option<Value>) -> Option<Value> {
    let (method, body) = match body {
        Some(body) => (Method::Post, body.to_string().into_bytes()),
        None => (Method::Get, Vec::new()),
    };
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let read = async {
        let mut response = sys
            .http
            .send(Request { method, url, socket: None, reach: Reach::Any, headers, body, limits: LIMITS })
            .await
            .ok()?;
        if response.status != 200 {
            return None;
        }
        let mut text = Vec::new();
        while let Some(piece) = response.body.next().await.ok()? {
            text.extend(piece);
        }
        serde_json::from_slice(&text).ok()
    };
    sys.clock.timeout(ANSWER, read).await.ok()?
}

fn provider(id: &str, api: Api, base_url: String, models: Vec<Model>) -> Option<Provider> {
    let id = id.to_owned();
    (!models.is_empty()).then_some(Provider {
        id,
        api,
        base_url,
        api_key: None,
        needs_key: false,
        headers: Vec::new(),
        models,
    })
}

/// A model that costs nothing but electricity.
fn model(id: &str, context_window: u64) -> Model {
    Model {
        id: id.to_owned(),
        name: id.to_owned(),
        context_window,
        max_tokens: OUTPUT_MAX.min(context_window / 2),
        reasoning: false,
        images: false,
        rates: Some(Rates::default()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::sys::Chance;
    use crate::sys::disk::Disk;
    use crate::sys::http::HttpError;
    use crate::sys::sim::http::{Ending, Script};
    use crate::sys::sim::{ScriptedHttp, World};

    /// What is found when URLs that end so answer so, and the virtual time that it took.
    fn find_among(answers: &'static [(&str, &str)]) -> (Option<Provider>, Duration) {
        let world = World::at(0);
        let http = ScriptedHttp::new(&world.clock, |request| {
            assert!(request.url.starts_with("http://127.0.0.1:"));
            let answer = answers.iter().find(|(end, _)| request.url.ends_with(end));
            match answer {
                Some((_, "stall")) => Script::answer(200, "{").ending(Ending::Stall),
                Some((_, text)) => Script::answer(200, *text),
                None => Script::error(HttpError::Connect(String::new())),
            }
        });
        let sys = Sys {
            zone: jiff::tz::TimeZone::UTC,
            clock: Rc::new(world.clock.clone()),
            chance: Rc::new(Chance::seeded(1)),
            files: Rc::new(Disk::default()),
            http: Rc::new(http),
            processes: Rc::new(crate::sys::sim::ScriptedProcesses::none(&world.clock)),
            tasks: world.tasks(),
        };
        let slot = Rc::new(RefCell::new(None));
        let result = Rc::clone(&slot);
        world.tasks().detach(async move {
            let found = find(&sys, USUAL).await;
            *result.borrow_mut() = Some((found, sys.clock.elapsed()));
        });
        world.run_for(Duration::from_secs(60));
        let found = slot.borrow_mut().take();
        found.unwrap()
    }

    #[test]
    fn ollama_is_found_with_what_its_models_can_do() {
        let (found, _) = find_among(&[
            (":11434/api/tags", r#"{"models":[{"name":"qwen3:4b"}]}"#),
            (
                "/api/show",
                r#"{"capabilities":["completion","tools","thinking"],"model_info":{"qwen3.context_length":40960}}"#,
            ),
        ]);
        let found = found.unwrap();
        assert_eq!(
            (found.id.as_str(), found.api, found.base_url.as_str()),
            ("ollama", Api::OllamaChat, "http://127.0.0.1:11434")
        );
        assert!(!found.needs_key && found.api_key.is_none());
        let model = &found.models[0];
        assert_eq!((model.id.as_str(), model.context_window, model.max_tokens), ("qwen3:4b", 16384, 8192));
        assert!(model.reasoning && !model.images && model.rates == Some(Rates::default()));
    }

    #[test]
    fn models_that_cannot_chat_are_left_out_and_silent_ones_get_careful_values() {
        assert_eq!(ollama_model("nomic", &json!({"capabilities": ["embedding"]})), None);
        assert_eq!(ollama_model("old", &Value::Null).unwrap().context_window, CONTEXT);
        let (found, _) = find_among(&[(":11434/api/tags", r#"{"models":[]}"#)]);
        assert!(found.is_none());
    }

    #[test]
    fn a_llama_cpp_server_is_found_behind_an_absent_ollama() {
        let (found, _) = find_among(&[
            (":8080/v1/models", r#"{"object":"list","data":[{"id":"parrot.gguf","object":"model"}]}"#),
            (":8080/props", r#"{"default_generation_settings":{"n_ctx":4096},"modalities":{"vision":true}}"#),
        ]);
        let found = found.unwrap();
        assert_eq!((found.id.as_str(), found.base_url.as_str()), ("llamacpp", "http://127.0.0.1:8080/v1"));
        let model = &found.models[0];
        assert_eq!((model.context_window, model.max_tokens, model.images), (4096, 2048, true));
    }

    #[test]
    fn other_programs_on_the_port_are_not_taken_for_a_model_server() {
        for other in [
            "<html>",
            "[]",
            r#"{"object":"list"}"#,
            r#"{"data":[{"id":"x"}]}"#,
            r#"{"object":"list","data":[{"id":7}]}"#,
        ] {
            let answers: &'static [(&str, &str)] = Box::leak(Box::new([(":8080/v1/models", other)]));
            assert!(find_among(answers).0.is_none(), "{other}");
        }
    }

    #[test]
    fn a_silent_port_costs_a_second() {
        let (found, took) = find_among(&[("/api/tags", "stall"), ("/v1/models", "stall")]);
        assert!(found.is_none());
        assert_eq!(took, Duration::from_secs(2));
    }
}
