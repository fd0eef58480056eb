//! What is a secret, and that hiding and putting back gives the same text.

use super::*;
use serde_json::json;

fn json5(text: &str) -> Value {
    super::super::tree::read_any(text, 0).unwrap().unwrap().to_json()
}

/// A text with secrets in every place that has them; each secret begins with `hush`.
const TEXT: &str = "{
  gateway: { auth: { token: 'hush-1', mode: 'token' }, port: 1 }, // password: hush-2
  models: { providers: { groq: { apiKey: \"${hush_KEY}\", baseUrl: 'https://me:hush-3@x/v1', headers: { 'x-a': 'hush-4' },
                                 models: [{ id: 'm', maxTokens: 5 }] } } },
  channels: { telegram: { botToken: 'hush-5', tokenFile: '/run/t' }, irc: { accounts: [{ id: 'a', password: 'hush-6' }, { id: 'b', password: 'hush-7' }] } },
  /* apiKey: 'hush-8'
     nothing here */
  skills: { entries: { x: { env: { ANY: 'hush-9' } } } }, talk: { voiceId: 'v', accessKey: 'hush-a', pin: { secrets: ['hush-b'] } },
  hooks: { token: 123456 }, env: { vars: { HOME2: 'hush-c' }, B: 'hush-d' }, session: { mainKey: 'main' }, web: { url: 'wss://x/y?token=hush-e' },
}
";

#[test]
fn every_secret_is_hidden_in_text_and_value_and_nothing_else_is() {
    let hidden = hide_in_text(TEXT).unwrap();
    assert!(!hidden.contains("hush") && !hidden.contains("123456"), "{hidden}");
    let mut value = json5(TEXT);
    hide(&mut value);
    assert_eq!(value, json5(&hidden));
    assert_eq!(value["channels"]["telegram"], json!({"botToken": MARKER, "tokenFile": "/run/t"}));
    assert_eq!(value["models"]["providers"]["groq"]["models"], json!([{"id": "m", "maxTokens": 5}]));
    assert_eq!((&value["session"]["mainKey"], &value["talk"]["voiceId"]), (&json!("main"), &json!("v")));
    assert_eq!(value["gateway"], json!({"auth": {"token": MARKER, "mode": "token"}, "port": 1}));
}

#[test]
fn what_was_hidden_comes_back_as_it_was_written() {
    let old = json5(TEXT);
    let back = restore_text(&hide_in_text(TEXT).unwrap(), TEXT, &[&old]).unwrap();
    assert_eq!(json5(&back), old);
    assert!(
        back.contains("${hush_KEY}") && back.contains("// password: hush-2") && back.contains("/* apiKey: 'hush-8'")
    );
    // Another order of a list with ids, and a key more.
    let swapped = "{channels:{irc:{accounts:[{id:'b',password:'__REDACTED__'},{id:'a',password:'new'}]}}}";
    let back = json5(&restore_text(swapped, TEXT, &[&old]).unwrap());
    assert_eq!(
        back["channels"]["irc"]["accounts"],
        json!([{"id": "b", "password": "hush-7"}, {"id": "a", "password": "new"}])
    );
    let mut patch = json!({"hooks": {"token": MARKER}, "gateway": {"auth": {"token": "other"}}});
    restore_value(&mut patch, &[&old]).unwrap();
    assert_eq!(patch, json!({"hooks": {"token": 123456}, "gateway": {"auth": {"token": "other"}}}));
}

#[test]
fn a_marker_where_no_secret_was_is_an_error() {
    let old = json5(TEXT);
    for (text, key) in [
        ("{gateway:{auth:{password:'__REDACTED__'}}}", "gateway.auth.password"),
        ("{gateway:{port:'__REDACTED__'}}", "gateway.port"),
        ("{ui:{assistant:{name:'__REDACTED__'}}}", "ui.assistant.name"),
        ("{gateway:{auth:{token:'x__REDACTED__'}}}", "gateway.auth.token"),
        ("{session:{mainKey:'__REDACTED__'}}", "session.mainKey"),
        ("{} // token: __REDACTED__", "a comment"),
    ] {
        assert_eq!(restore_text(text, TEXT, &[&old]), Err(Stray(key.to_owned())), "{text}");
    }
    let mut patch = json!({"hooks": {"password": MARKER}});
    assert_eq!(restore_value(&mut patch, &[&old]), Err(Stray("hooks.password".to_owned())));
}

#[test]
fn a_text_that_cannot_be_read_is_not_shown() {
    for text in [
        "{gateway:{auth:{token:'hush'",
        "{ secrets: [\n 'hush-4', { a: 1\n",
        "{ token \"hush\", mode: \"x\" }",
        "token 'hush",
        "{ /* `hush` ",
    ] {
        assert_eq!(hide_in_text(text), None, "{text}");
    }
}

#[test]
fn a_comment_that_may_hold_a_secret_is_hidden_whole_and_comes_back_at_its_place() {
    let hush = [
        "// baseUrl: \"https://me:hush@x/v1\"",
        "// headers: {\"x-api\":\"hush\"}",
        "// old token hush",
        "/* the password\n   hush\n */",
        "// x-api: hush",
        "// token:\n  // hush",
        "// https://hooks.example/hush",
        "// hush4711hush",
        "// 'hush'",
    ];
    for comment in hush {
        let text = format!("{{\n  {comment}\n  gateway: {{ port: 1 }},\n}}\n");
        let hidden = hide_in_text(&text).unwrap();
        assert!(!hidden.contains("hush") && hidden.contains("gateway: { port: 1 }"), "{hidden}");
        assert_eq!(restore_text(&hidden, &text, &[]).unwrap(), text);
    }
    for comment in ["// mine", "// don't touch this", "// port: 18789", "/* two\n lines, */", "// enabled: true,"] {
        let text = format!("{{ {comment}\n}}");
        assert_eq!(hide_in_text(&text).unwrap(), text);
    }
    // One of them leaves; the others keep their own content.
    let text = "{ // token a\n  ui: {}, // token b\n  talk: {}, // token c\n}";
    let hidden = hide_in_text(text).unwrap().replace("// __REDACTED__ 2", "");
    assert_eq!(restore_text(&hidden, text, &[]).unwrap(), "{ // token a\n  ui: {}, \n  talk: {}, // token c\n}");
}

#[test]
fn addresses_of_web_hooks_are_secrets() {
    let mut value = json!({"webhookUrl": "https://x/hush", "a": {"discordWebhook": "https://x/hush"},
        "b": "https://hooks.slack.com/services/hush", "c": "https://discord.com/api/webhooks/1/hush",
        "d": "https://api.telegram.org/bot1:hush/x", "webhookPath": "/in", "url": "https://x/y"});
    hide(&mut value);
    assert!(!value.to_string().contains("hush"), "{value}");
    assert_eq!((&value["webhookPath"], &value["url"]), (&json!("/in"), &json!("https://x/y")));
}

#[test]
fn entries_of_a_list_without_ids_are_not_mixed_up_when_one_leaves() {
    let old = json!({"list": [{"token": "hush-a"}, {"token": "hush-b"}]});
    let mut new = json!({"list": [{"token": MARKER}]});
    assert_eq!(restore_value(&mut new, &[&old]), Err(Stray("list.0.token".to_owned())));
    let mut new = json!({"list": [{"token": MARKER}, {"token": "c"}]});
    restore_value(&mut new, &[&old]).unwrap();
    assert_eq!(new, json!({"list": [{"token": "hush-a"}, {"token": "c"}]}));
}

#[test]
fn names_are_judged_by_their_words() {
    for name in [
        "token",
        "botToken",
        "APP_TOKEN",
        "apiKey",
        "apikey",
        "api_key",
        "clientSecret",
        "privateKey",
        "authorization",
        "tokens",
    ] {
        assert!(names_secret(name, true), "{name}");
    }
    for name in
        ["tokenFile", "mainKey", "sessionKey", "maxTokensField", "passwordFile", "key", "keyPath", "secretary", ""]
    {
        assert!(!names_secret(name, true), "{name}");
    }
    assert!(!names_secret("maxTokens", false) && !names_secret("contextTokens", false));
}
