//! What a form can offer: the providers that are known, and their models. No prices, no keys.

use super::catalogue::PROVIDERS;

/// A provider that a person may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: &'static str,
    /// Where it is when nothing else is said.
    pub base_url: &'static str,
    /// Environment variable of its key; `None` for servers on the owner's own machine.
    pub key_variable: Option<&'static str>,
    /// Ids and names of its known models.
    pub models: Vec<(String, String)>,
}

/// Every known provider, in the order of the catalogue.
#[must_use]
pub fn providers() -> Vec<Offer> {
    let offer = PROVIDERS.iter().map(|known| Offer {
        id: known.id,
        base_url: known.base_url,
        key_variable: known.key_variable,
        models: known.models.iter().map(|model| (model.model().id, model.model().name)).collect(),
    });
    offer.collect()
}
