//! How much a model may think before it answers (methods.md 7.4).

use serde::{Deserialize, Serialize};

/// A thinking level, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThinkingLevel {
    /// No thinking is asked for.
    #[default]
    Off,
    /// The least a model offers.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// The most a model offers.
    Xhigh,
}

impl ThinkingLevel {
    /// All levels, least first.
    pub const ALL: [Self; 6] = [Self::Off, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
        }
    }

    /// Reads a level or one of its synonyms, in any case of letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "off" | "none" => Self::Off,
            "minimal" | "min" => Self::Minimal,
            "low" | "on" => Self::Low,
            "medium" | "med" | "mid" => Self::Medium,
            "high" | "max" | "ultra" => Self::High,
            "xhigh" | "x-high" => Self::Xhigh,
            _ => return None,
        })
    }
}
