//! Time zones by name, from the system's own data.
//!
//! A board without that data knows only UTC; it says so and never takes UTC for another zone.

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Why there is no such zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoZone {
    /// The system's data has none of that name.
    Unknown,
    /// The system has no data.
    NoData,
}

/// The zone of an IANA name such as `Europe/Berlin`.
///
/// # Errors
/// [`NoZone`].
pub fn find(name: &str) -> Result<TimeZone, NoZone> {
    find_in(jiff::tz::db(), name)
}

fn find_in(data: &TimeZoneDatabase, name: &str) -> Result<TimeZone, NoZone> {
    if name.eq_ignore_ascii_case("UTC") {
        return Ok(TimeZone::UTC);
    }
    data.get(name).map_err(|_| if data.is_definitively_empty() { NoZone::NoData } else { NoZone::Unknown })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_zone_and_missing_data_are_told_apart_and_neither_is_utc() {
        assert_eq!(find("Europe/Berlin").unwrap().iana_name(), Some("Europe/Berlin"));
        assert_eq!(find("Nope/Zone"), Err(NoZone::Unknown));
        assert_eq!(find_in(&TimeZoneDatabase::none(), "Europe/Berlin"), Err(NoZone::NoData));
        assert_eq!(find_in(&TimeZoneDatabase::none(), "UTC"), Ok(TimeZone::UTC));
    }
}
