//! Laws of the bounds.

use super::*;

#[test]
fn every_default_lies_within_its_range_and_every_key_can_be_set() {
    for row in Limits::ROWS {
        assert!(row.min <= row.default && row.default <= row.max, "{}", row.key);
        let mut limits = Limits::default();
        limits.set(row.key, row.min).unwrap();
        assert_eq!(limits.set(row.key, row.max + 1).unwrap_err().unwrap().key, row.key);
    }
    assert!(Limits::default().set("noSuchLimit", 1).unwrap_err().is_none());
}

#[test]
fn defaults_fit_each_other() {
    let limits = Limits::default();
    assert!(limits.max_buffered_bytes <= limits.total_buffered_bytes);
    assert!(limits.max_payload <= limits.total_incoming_bytes);
    assert!(limits.node_max_payload <= limits.total_incoming_bytes);
    assert!(limits.history_bytes < limits.max_buffered_bytes);
    assert!(limits.calls_per_connection <= limits.calls_in_flight);
}
