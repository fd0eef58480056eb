//! What a JSON value must look like, and the words for what is wrong with it.
//!
//! A [`Shape`] is a constant made by [`wire!`](crate::wire!) from a struct's fields. From it come
//! the checks of params (with the reference's texts, connection.md 1.4), the JSON schema and the
//! manual of methods.

use std::fmt;

use serde_json::{Map, Value, json};

/// An object's description.
#[derive(Debug)]
pub struct Shape {
    /// The struct's name.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Its fields in the order of the struct.
    pub fields: &'static [Field],
    /// Whether unknown keys are ignored instead of refused.
    pub open: bool,
}

/// One field of an object.
#[derive(Debug)]
pub struct Field {
    /// The Rust name; on the wire it is camelCase.
    pub rust_name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it must be.
    pub kind: Kind,
    /// One sentence; empty when the name says it.
    pub doc: &'static str,
}

impl Field {
    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> Camel {
        Camel(self.rust_name)
    }
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any JSON.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds; `3.0` is one.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// Any number.
    Number,
    /// A string, its length in characters within bounds.
    Text {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// An array, its length within bounds.
    List {
        /// What each item must be.
        of: &'static Self,
        /// Fewest items.
        min: usize,
        /// Most items.
        max: usize,
    },
    /// An object with free keys.
    Map(&'static Self),
    /// An object with these fields.
    Object(&'static Shape),
    /// The same, or `null`.
    OrNull(&'static Self),
    /// One of several objects, told apart by the text under this key, which stands in none of them.
    Tagged {
        /// The key.
        tag: &'static str,
        /// Its texts, each with the rest of the object.
        of: &'static [(&'static str, Self)],
    },
}

/// What is said when no branch of a choice fits.
const NO_BRANCH: &str = "must match a schema in anyOf";

/// A string of at least `min` characters.
#[must_use]
pub const fn text(min: usize) -> Kind {
    Kind::Text { min, max: usize::MAX }
}

/// A string of `min` to `max` characters.
#[must_use]
pub const fn text_within(min: usize, max: usize) -> Kind {
    Kind::Text { min, max }
}

/// A whole number from `min`.
#[must_use]
pub const fn int(min: i64) -> Kind {
    Kind::Int { min, max: i64::MAX }
}

/// A whole number from `min` to `max`.
#[must_use]
pub const fn int_within(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}

/// A type that has a place on the wire.
pub trait Wire {
    /// What its JSON looks like.
    const KIND: Kind;
    /// Whether a field of this type must be there.
    const REQUIRED: bool = true;

    /// Whether a field with this value is left out when writing.
    fn is_absent(&self) -> bool {
        false
    }
}

macro_rules! wire_as {
    ($($type:ty => $kind:expr;)+) => { $(impl Wire for $type { const KIND: Kind = $kind; })+ };
}

wire_as! {
    bool => Kind::Bool;
    String => text(0);
    &'static str => text(0);
    u8 => int_within(0, u8::MAX as i64);
    u32 => int_within(0, u32::MAX as i64);
    u64 => int(0);
    usize => int(0);
    i64 => int(i64::MIN);
    f64 => Kind::Number;
    Value => Kind::Any;
    Map<String, Value> => Kind::Map(&Kind::Any);
    Box<serde_json::value::RawValue> => Kind::Any;
    std::rc::Rc<serde_json::value::RawValue> => Kind::Any;
    () => Kind::Any;
}

impl<T: Wire> Wire for Option<T> {
    const KIND: Kind = T::KIND;
    const REQUIRED: bool = false;

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Wire> Wire for Vec<T> {
    const KIND: Kind = Kind::List { of: &T::KIND, min: 0, max: usize::MAX };
}

impl<T: Wire> Wire for std::collections::BTreeMap<String, T> {
    const KIND: Kind = Kind::Map(&T::KIND);
}

/// A field that a client may leave alone, clear with `null`, or set.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Clearable<T> {
    /// The key is absent.
    #[default]
    Keep,
    /// The key is `null`.
    Clear,
    /// The key has a value.
    Set(T),
}

impl<T: Wire> Wire for Clearable<T> {
    const KIND: Kind = Kind::OrNull(&T::KIND);
    const REQUIRED: bool = false;

    fn is_absent(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Clearable<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T: serde::Serialize> serde::Serialize for Clearable<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(value) => value.serialize(serializer),
            Self::Keep | Self::Clear => serializer.serialize_none(),
        }
    }
}

/// A snake_case name (perhaps a raw identifier) shown and compared as camelCase.
#[derive(Debug, Clone, Copy)]
pub struct Camel(pub &'static str);

impl Camel {
    fn letters(self) -> impl Iterator<Item = char> {
        let mut after_underscore = false;
        self.0.strip_prefix("r#").unwrap_or(self.0).chars().filter_map(move |letter| {
            if letter == '_' {
                after_underscore = true;
                return None;
            }
            let upper = std::mem::take(&mut after_underscore);
            Some(if upper { letter.to_ascii_uppercase() } else { letter })
        })
    }
}

impl fmt::Display for Camel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.letters().try_for_each(|letter| fmt::Write::write_char(f, letter))
    }
}

impl PartialEq<str> for Camel {
    fn eq(&self, other: &str) -> bool {
        self.letters().eq(other.chars())
    }
}

impl Kind {
    /// Checks `value`, turning whole floats into integers on the way. Returns every problem, in the
    /// order of the reference: missing keys, unknown keys, then each field.
    pub fn check(&self, value: &mut Value) -> Vec<String> {
        let mut problems = Vec::new();
        self.check_at("", value, &mut problems);
        let mut seen = Vec::with_capacity(problems.len());
        for problem in problems {
            if !seen.contains(&problem) {
                seen.push(problem);
            }
        }
        seen
    }

    fn check_at(&self, at: &str, value: &mut Value, problems: &mut Vec<String>) {
        let mut wrong = |what: String| {
            problems.push(if at.is_empty() { what } else { format!("at {at}: {what}") });
        };
        match self {
            Self::Any => {}
            Self::Bool if value.is_boolean() => {}
            Self::Bool => wrong("must be boolean".into()),
            Self::Number if value.is_number() => {}
            Self::Number => wrong("must be number".into()),
            Self::Int { min, max } => match whole(value) {
                None => wrong("must be integer".into()),
                Some(number) if number < i128::from(*min) => wrong(format!("must be >= {min}")),
                Some(number) if number > i128::from(*max) => wrong(format!("must be <= {max}")),
                Some(_) => {}
            },
            Self::Text { min, max } => match value.as_str().map(|text| text.chars().count()) {
                None => wrong("must be string".into()),
                Some(length) if length < *min => wrong(format!("must NOT have fewer than {min} characters")),
                Some(length) if length > *max => wrong(format!("must NOT have more than {max} characters")),
                Some(_) => {}
            },
            Self::OneOf(words) => {
                if !value.as_str().is_some_and(|text| words.contains(&text)) {
                    if !value.is_string() {
                        wrong("must be string".into());
                    }
                    wrong("must be equal to constant".into());
                    wrong(NO_BRANCH.into());
                }
            }
            Self::List { of, min, max } => match value {
                Value::Array(items) if items.len() < *min => {
                    wrong(format!("must NOT have fewer than {min} items"));
                }
                Value::Array(items) if items.len() > *max => wrong(format!("must NOT have more than {max} items")),
                Value::Array(items) => {
                    for (index, item) in items.iter_mut().enumerate() {
                        of.check_at(&format!("{at}/{index}"), item, problems);
                    }
                }
                _ => wrong("must be array".into()),
            },
            Self::Map(of) => match value {
                Value::Object(entries) => {
                    for (key, entry) in entries {
                        of.check_at(&format!("{at}/{key}"), entry, problems);
                    }
                }
                _ => wrong("must be object".into()),
            },
            Self::Object(shape) => match value {
                Value::Object(entries) => shape.check_at(at, entries, problems),
                _ => wrong("must be object".into()),
            },
            Self::OrNull(of) => {
                let mut own = Vec::new();
                if !value.is_null() {
                    of.check_at(at, value, &mut own);
                }
                if !own.is_empty() {
                    // Every branch of a choice is reported, the choice itself last (connection.md 1.4).
                    own.retain(|problem| !problem.ends_with(NO_BRANCH));
                    problems.extend(own);
                    problems.push(format!("at {at}: must be null"));
                    problems.push(format!("at {at}: {NO_BRANCH}"));
                }
            }
            Self::Tagged { tag, of } => {
                let Value::Object(entries) = value else { return wrong("must be object".into()) };
                let Some(said) = entries.remove(*tag) else {
                    return wrong(format!("must have required property '{tag}'"));
                };
                match of.iter().find(|(name, _)| said == *name) {
                    Some((_, rest)) => rest.check_at(at, value, problems),
                    None => {
                        problems.push(format!("at {at}/{tag}: must be equal to constant"));
                        problems.push(format!("at {at}: {NO_BRANCH}"));
                    }
                }
                if let Value::Object(entries) = value {
                    entries.insert((*tag).to_owned(), said);
                }
            }
        }
    }

    /// As JSON schema (draft 2020-12).
    #[must_use]
    pub fn schema(&self) -> Value {
        match self {
            Self::Any => json!({}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Number => json!({"type": "number"}),
            Self::Int { min, max } => bounded("integer", ("minimum", *min, i64::MIN), ("maximum", *max, i64::MAX)),
            Self::Text { min, max } => bounded("string", ("minLength", *min, 0), ("maxLength", *max, usize::MAX)),
            Self::OneOf(words) => json!({"enum": words}),
            Self::List { of, min, max } => {
                let mut schema = bounded("array", ("minItems", *min, 0), ("maxItems", *max, usize::MAX));
                insert(&mut schema, "items", of.schema());
                schema
            }
            Self::Map(of) => json!({"type": "object", "additionalProperties": of.schema()}),
            Self::Object(shape) => shape.schema(),
            Self::OrNull(of) => json!({"anyOf": [of.schema(), {"type": "null"}]}),
            Self::Tagged { tag, of } => {
                let branch = |(name, rest): &(&str, Self)| {
                    let mut schema = rest.schema();
                    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
                        properties.insert((*tag).to_owned(), json!({"const": name}));
                    }
                    schema
                };
                json!({"anyOf": of.iter().map(branch).collect::<Vec<_>>()})
            }
        }
    }
}

impl Shape {
    fn check_at(&self, at: &str, entries: &mut Map<String, Value>, problems: &mut Vec<String>) {
        let prefix = if at.is_empty() { String::new() } else { format!("at {at}: ") };
        for field in self.fields.iter().filter(|field| field.required) {
            if !entries.keys().any(|key| field.name() == **key) {
                problems.push(format!("{prefix}must have required property '{}'", field.name()));
            }
        }
        if !self.open {
            let here = if at.is_empty() { "root" } else { at };
            for key in entries.keys() {
                if !self.fields.iter().any(|field| field.name() == **key) {
                    problems.push(format!("at {here}: unexpected property '{key}'"));
                }
            }
        }
        for field in self.fields {
            if let Some((_, value)) = entries.iter_mut().find(|(key, _)| field.name() == ***key) {
                field.kind.check_at(&format!("{at}/{}", field.name()), value, problems);
            }
        }
    }

    fn schema(&self) -> Value {
        let mut properties = Map::new();
        for field in self.fields {
            let mut schema = field.kind.schema();
            if !field.doc.is_empty() {
                insert(&mut schema, "description", field.doc.trim().into());
            }
            properties.insert(field.name().to_string(), schema);
        }
        let required: Vec<String> =
            self.fields.iter().filter(|field| field.required).map(|field| field.name().to_string()).collect();
        json!({
            "type": "object", "description": self.doc.trim(), "properties": properties, "required": required,
            "additionalProperties": self.open,
        })
    }
}

/// The whole number in `value`, which becomes an integer if it was written as `3.0`.
fn whole(value: &mut Value) -> Option<i128> {
    if let Some(number) = value.as_i64() {
        return Some(number.into());
    }
    if let Some(number) = value.as_u64() {
        return Some(number.into());
    }
    let float = value.as_f64()?;
    // Beyond 2^53 a float doesn't name one whole number.
    if float.fract() != 0.0 || float.abs() > 9_007_199_254_740_992.0 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "checked just above: whole and below 2^53")]
    let number = float as i64;
    *value = number.into();
    Some(number.into())
}

fn bounded<T: PartialEq + Into<Value> + Copy>(kind: &str, low: (&str, T, T), high: (&str, T, T)) -> Value {
    let mut schema = json!({"type": kind});
    for (name, bound, free) in [low, high] {
        if bound != free {
            insert(&mut schema, name, bound.into());
        }
    }
    schema
}

fn insert(schema: &mut Value, name: &str, value: Value) {
    if let Value::Object(entries) = schema {
        entries.insert(name.to_owned(), value);
    }
}

/// Declares structs that travel: serde in camelCase, and a [`Shape`] for checks and documents.
///
/// A field's kind comes from its type; `= kind` narrows it. `pub open struct` ignores unknown keys.
#[macro_export]
macro_rules! wire {
    () => {};
    ($(#[$($meta:tt)*])* pub struct $($rest:tt)*) => {
        $crate::wire!(@one false $(#[$($meta)*])* $($rest)*);
    };
    ($(#[$($meta:tt)*])* pub open struct $($rest:tt)*) => {
        $crate::wire!(@one true $(#[$($meta)*])* $($rest)*);
    };
    (@one $open:literal $(#[$($meta:tt)*])* $name:ident {
        $( $(#[$($field_meta:tt)*])* $field:ident : $type:ty $(= $kind:expr)? ),* $(,)?
    } $($rest:tt)*) => {
        $(#[$($meta)*])*
        #[derive(Debug, Clone, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $(
                $(#[$($field_meta)*])*
                #[serde(skip_serializing_if = "crate::wire::shape::Wire::is_absent")]
                pub $field: $type,
            )*
        }

        impl $crate::wire::shape::Wire for $name {
            const KIND: $crate::wire::shape::Kind = $crate::wire::shape::Kind::Object(&$crate::wire::shape::Shape {
                name: stringify!($name),
                doc: $crate::wire!(@doc $([$($meta)*])*),
                open: $open,
                fields: &[ $( $crate::wire::shape::Field {
                    rust_name: stringify!($field),
                    required: <$type as $crate::wire::shape::Wire>::REQUIRED,
                    kind: $crate::wire!(@kind $type $(, $kind)?),
                    doc: $crate::wire!(@doc $([$($field_meta)*])*),
                }, )* ],
            });
        }

        $crate::wire!($($rest)*);
    };
    (@kind $type:ty) => { <$type as $crate::wire::shape::Wire>::KIND };
    (@kind $type:ty, $kind:expr) => { $kind };
    (@doc) => { "" };
    (@doc [doc = $text:literal] $($rest:tt)*) => { concat!($text, $crate::wire!(@doc $($rest)*)) };
    (@doc [$($other:tt)*] $($rest:tt)*) => { $crate::wire!(@doc $($rest)*) };
}

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro makes public structs, here inside a private module")]
mod tests {
    use super::*;

    wire! {
        /// A client, for the tests.
        pub struct Client {
            /// Its id.
            id: String = text(1),
            display_name: Option<String> = text(1),
            mode: Option<String> = Kind::OneOf(&["cli", "ui"]),
        }

        /// Params, for the tests.
        pub struct Params {
            min_protocol: u32 = int(1),
            client: Client,
            caps: Option<Vec<String>>,
            #[serde(default)]
            label: Clearable<String>,
        }
    }

    fn problems(mut value: Value) -> Vec<String> {
        Params::KIND.check(&mut value)
    }

    #[test]
    fn texts_and_their_order_are_those_of_the_reference() {
        assert_eq!(problems(json!([])), ["must be object"]);
        assert_eq!(
            problems(json!({"zz": 1, "client": {"extra": 1, "mode": "x"}, "caps": ["a", 2]})),
            [
                "must have required property 'minProtocol'",
                "at root: unexpected property 'zz'",
                "at /client: must have required property 'id'",
                "at /client: unexpected property 'extra'",
                "at /client/mode: must be equal to constant",
                "at /client/mode: must match a schema in anyOf",
                "at /caps/1: must be string",
            ]
        );
        assert_eq!(
            problems(json!({"minProtocol": 0, "client": {"id": ""}})),
            ["at /minProtocol: must be >= 1", "at /client/id: must NOT have fewer than 1 characters",]
        );
        assert_eq!(problems(json!({"minProtocol": "3", "client": {"id": "x"}})), ["at /minProtocol: must be integer"]);
    }

    #[test]
    fn a_whole_float_is_an_integer_and_null_clears() {
        let mut value = json!({"minProtocol": 3.0, "client": {"id": "x"}, "label": null});
        assert!(Params::KIND.check(&mut value).is_empty());
        let params: Params = serde_json::from_value(value).unwrap();
        assert_eq!((params.min_protocol, params.label), (3, Clearable::Clear));
        let mut value = json!({"minProtocol": 3.5, "client": {"id": "x"}});
        assert_eq!(Params::KIND.check(&mut value), ["at /minProtocol: must be integer"]);
    }

    #[test]
    fn the_schema_carries_bounds_and_sentences() {
        let schema = Params::KIND.schema();
        assert_eq!(schema["properties"]["minProtocol"]["minimum"], 1);
        assert_eq!(schema["properties"]["client"]["properties"]["id"]["description"], "Its id.");
        assert_eq!(schema["required"], json!(["minProtocol", "client"]));
    }
}
