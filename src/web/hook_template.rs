//! Templates of mapped hooks: `{{a.b[0].c}}` is a value of the body, `{{headers.x}}` and `{{query.x}}` one of the
//! request, `{{path}}` and `{{now}}` what they say. What isn't there is an empty text. Nothing is computed.

use hyper::HeaderMap;
use serde_json::Value;

use crate::limits::HOOK_TEXT_CHARS;

/// What templates are filled in from.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) body: &'a Value,
    pub(super) headers: &'a HeaderMap,
    pub(super) query: &'a str,
    /// The path below `hooks.path`.
    pub(super) path: &'a str,
    pub(super) now: &'a str,
}

/// Header fields that hold secrets: a template doesn't see them.
const HIDDEN: [&str; 4] = ["authorization", "x-clawdbot-token", "cookie", "proxy-authorization"];

/// Fills a template in. With a mark, each value stands between `<mark>` and `</mark>`, so that a reader can tell what
/// came from outside.
pub(super) fn fill(template: &str, source: &Source<'_>, mark: Option<&str>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((path, behind)) = after.split_once("}}") else { break };
        out.push_str(before);
        let value = source.value(path.trim()).unwrap_or_default();
        match mark {
            Some(mark) if !value.is_empty() => out.push_str(&format!("<{mark}>{value}</{mark}>")),
            _ => out.push_str(&value),
        }
        rest = behind;
    }
    out.push_str(rest);
    out.trim().chars().take(HOOK_TEXT_CHARS).collect()
}

impl Source<'_> {
    fn value(&self, path: &str) -> Option<String> {
        if let Some(name) = path.strip_prefix("headers.") {
            let name = name.to_ascii_lowercase();
            let value = self.headers.get(name.as_str()).filter(|_| !HIDDEN.contains(&name.as_str()))?;
            return value.to_str().ok().map(str::to_owned);
        }
        if let Some(name) = path.strip_prefix("query.") {
            return query_value(self.query, name).filter(|_| name != "token");
        }
        match path {
            "" => return None,
            "path" => return Some(self.path.to_owned()),
            "now" => return Some(self.now.to_owned()),
            _ => {}
        }
        let path = path.strip_prefix("payload.").unwrap_or(path);
        let mut value = self.body;
        for step in path.split('.') {
            let (name, indexes) = step.split_once('[').map_or((step, ""), |(name, rest)| (name, rest));
            if !name.is_empty() {
                value = value.get(name)?;
            }
            for index in indexes.split('[').filter(|index| !index.is_empty()) {
                value = value.get(index.strip_suffix(']')?.parse::<usize>().ok()?)?;
            }
        }
        Some(match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }
}

/// A parameter of a query, decoded.
pub(super) fn query_value(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(key, value)| (decoded(key), value)).find(|(key, _)| key == name).map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                match data_encoding::HEXLOWER_PERMISSIVE.decode(&[*high, *low]).ok().as_deref() {
                    Some([byte]) => {
                        bytes.push(*byte);
                        rest = after;
                    }
                    _ => bytes.push(b'%'),
                }
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(template: &str, mark: Option<&str>) -> String {
        let body = json!({"a": {"b": [{"c": "deep"}, [1, 2]]}, "n": 5, "o": {"x": true}, "nothing": null});
        let mut headers = HeaderMap::new();
        headers.insert("x-kind", "push".parse().unwrap());
        headers.insert("authorization", "Bearer hush".parse().unwrap());
        let source =
            Source { body: &body, headers: &headers, query: "q=a%20b+c&token=hush&bad=%zz", path: "ci", now: "NOW" };
        fill(template, &source, mark)
    }

    #[test]
    fn values_are_found_wherever_they_are() {
        for (template, expected) in [
            ("{{a.b[0].c}} {{ n }} {{o}} {{a.b[1][1]}}", "deep 5 {\"x\":true} 2"),
            ("{{payload.n}}|{{headers.X-Kind}}|{{query.q}}|{{query.bad}}|{{path}}|{{now}}", "5|push|a b c|%zz|ci|NOW"),
            ("[{{missing}}{{a.b[9].c}}{{a.b[x]}}{{nothing}}{{}}]", "[]"),
            ("{{headers.authorization}}{{query.token}}", ""),
            ("open {{n", "open {{n"),
            ("  plain }} ", "plain }}"),
        ] {
            assert_eq!(filled(template, None), expected, "{template}");
        }
        assert_eq!(filled("x: {{a.b[0].c}}, {{missing}}", Some("m1")), "x: <m1>deep</m1>,");
    }
}
