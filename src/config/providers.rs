//! `models`: the providers as the gateway uses them, from the file, the built-in catalogue and the
//! environment (methods.md 9.3).

use std::collections::BTreeMap;
use std::rc::Rc;

use super::catalogue::{self, KnownProvider};
use super::models::{Api, Model, Provider, Rates};
use super::network;
use super::problem::Notes;
use super::tree::Field;
use crate::secret::Secret;

/// Every provider that can be used or named, by id.
pub(super) type Providers = BTreeMap<String, Rc<Provider>>;

pub(super) fn read(root: &Field<'_>, env: &BTreeMap<String, String>, notes: &mut Notes<'_>) -> Providers {
    let replace = root.find("models.mode").and_then(|field| field.text()) == Some("replace");
    let mut providers = Providers::new();
    if !replace {
        for known in catalogue::PROVIDERS {
            providers.insert(known.id.to_owned(), Rc::new(built_in(known, env)));
        }
    }
    for (id, field) in root.find("models.providers").map(|section| section.entries()).unwrap_or_default() {
        if id.is_empty() || id.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
            notes.problem(&field, "a provider id has no slash and no spaces");
            continue;
        }
        let known = catalogue::provider(id);
        match read_provider(id, &field, known, replace, env, notes) {
            Some(provider) => providers.insert(id.to_owned(), Rc::new(provider)),
            None => providers.remove(id),
        };
    }
    providers
}

fn built_in(known: &KnownProvider, env: &BTreeMap<String, String>) -> Provider {
    Provider {
        id: known.id.to_owned(),
        api: known.api,
        base_url: known.base_url.to_owned(),
        api_key: key_from(known, env),
        needs_key: known.key_variable.is_some(),
        headers: Vec::new(),
        models: known.models.iter().map(catalogue::KnownModel::model).collect(),
    }
}

fn key_from(known: &KnownProvider, env: &BTreeMap<String, String>) -> Option<Secret> {
    let key = env.get(known.key_variable?)?.trim();
    (!key.is_empty()).then(|| Secret::new(key))
}

/// A provider of the file. `None` when it can't be used; the notes say why.
fn read_provider(
    id: &str,
    field: &Field<'_>,
    known: Option<&'static KnownProvider>,
    replace: bool,
    env: &BTreeMap<String, String>,
    notes: &mut Notes<'_>,
) -> Option<Provider> {
    let api = match field.find("api") {
        None => known.map_or(Api::OpenaiCompletions, |known| known.api),
        Some(api_field) => {
            let name = api_field.text()?;
            let Some(api) = Api::ALL.into_iter().find(|api| api.name() == name) else {
                let names = Api::ALL.map(Api::name).join("`, `");
                notes.warning(
                    &api_field,
                    format!("provider `{id}` is left out: the wire format `{name}` is not in this version (it knows `{names}`)"),
                );
                return None;
            };
            api
        }
    };
    let written_url = field.find("baseUrl");
    let api_key =
        field.find("apiKey").and_then(|field| field.filled_text().map(Secret::new)).or_else(|| key_from(known?, env));
    let base_url = match &written_url {
        Some(url_field) => read_base_url(url_field, api, api_key.is_some(), notes)?,
        None => match known {
            Some(known) => known.base_url.to_owned(),
            None => {
                notes.problem(field, format!("`baseUrl` is missing (`{id}` is not a built-in provider)"));
                return None;
            }
        },
    };
    let mut models = Vec::new();
    for item in field.find("models").map(|list| list.items()).unwrap_or_default() {
        let Some(model) = read_model(&item, known, notes) else { continue };
        if models.iter().any(|other: &Model| other.id == model.id) {
            notes.problem(&item, format!("another model has the id `{}` too", model.id));
        }
        models.push(model);
    }
    if !replace {
        for built_in in known.map(|known| known.models).unwrap_or_default() {
            let model = built_in.model();
            if !models.iter().any(|other| other.id == model.id) {
                models.push(model);
            }
        }
    }
    Some(Provider {
        id: id.to_owned(),
        api,
        base_url,
        api_key,
        // Another address may be a server or a proxy that asks for none.
        needs_key: written_url.is_none() && known.is_some_and(|known| known.key_variable.is_some()),
        headers: read_headers(field, notes),
        models,
    })
}

fn read_base_url(field: &Field<'_>, api: Api, has_key: bool, notes: &mut Notes<'_>) -> Option<String> {
    let Some(url) = network::base_url(field.text()?) else {
        notes.problem(
            field,
            format!(
                "expected an address like https://host/v1 without user, query or fragment, found {}",
                field.node.describe()
            ),
        );
        return None;
    };
    if has_key && url.starts_with("http://") && !network::is_near(url) {
        notes.warning(field, "the provider's key travels unencrypted over http://");
    }
    Some(match api {
        Api::OpenaiCompletions => url.to_owned(),
        Api::AnthropicMessages | Api::OllamaChat => url.strip_suffix("/v1").unwrap_or(url).to_owned(),
    })
}

fn read_headers(field: &Field<'_>, notes: &mut Notes<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (name, value) in field.find("headers").map(|section| section.entries()).unwrap_or_default() {
        let Some(text) = value.text() else { continue };
        let name_fits = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !name_fits || text.bytes().any(|byte| !(byte == b'\t' || (b' '..=b'~').contains(&byte))) {
            notes.problem(&value, "a header has a plain name and a value of printable ASCII characters");
            continue;
        }
        headers.push((name.to_ascii_lowercase(), text.to_owned()));
    }
    headers
}

fn read_model(item: &Field<'_>, known: Option<&KnownProvider>, notes: &mut Notes<'_>) -> Option<Model> {
    let Some(id_field) = item.find("id") else {
        if item.node.describe_type() == "an object" {
            notes.problem(item, "`id` is missing");
        }
        return None;
    };
    let id = id_field.text()?.trim();
    if id.is_empty() {
        notes.problem(&id_field, "expected the id of a model, found an empty text");
        return None;
    }
    let base = known
        .into_iter()
        .flat_map(|known| known.models)
        .map(catalogue::KnownModel::model)
        .find(|model| model.id == id)
        .unwrap_or_else(|| catalogue::generic(id));
    let context_window = item.find("contextWindow").and_then(|field| field.whole()).unwrap_or(base.context_window);
    let max_tokens = item.find("maxTokens").and_then(|field| field.whole()).unwrap_or(base.max_tokens);
    let images = match item.find("input") {
        None => base.images,
        Some(list) => {
            for kind in list.items().iter().filter(|kind| !matches!(kind.text(), Some("text" | "image") | None)) {
                notes.problem(kind, format!("expected `text` or `image`, found {}", kind.node.describe()));
            }
            list.items().iter().any(|kind| kind.text() == Some("image"))
        }
    };
    Some(Model {
        id: id.to_owned(),
        name: item.find("name").and_then(|field| field.filled_text()).map_or(base.name, str::to_owned),
        context_window,
        max_tokens: max_tokens.min(context_window),
        reasoning: item.find("reasoning").and_then(|field| field.flag()).unwrap_or(base.reasoning),
        images,
        rates: item.find("cost").map(|cost| read_rates(&cost)).or(base.rates),
    })
}

fn read_rates(cost: &Field<'_>) -> Rates {
    let price = |name: &str| cost.find(name).and_then(|field| field.number()).unwrap_or_default();
    Rates {
        input: price("input"),
        output: price("output"),
        cache_read: price("cacheRead"),
        cache_write: price("cacheWrite"),
    }
}
