//! `usage.status` and `usage.cost` (methods.md 14).

use serde_json::Value;

use super::system::Ignored;
use crate::error::Error;
use crate::now;
use crate::rpc::{Cx, Method};
use crate::stores::usage::Totals;
use crate::wire::Access;

/// Rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "usage.status",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Lists the quotas of subscription logins, of which this gateway has none.",
        handler: now!(status),
    },
    Method {
        name: "usage.cost",
        aliases: &[],
        access: Access::Read,
        listed: true,
        doc: "Adds up tokens and cost of model calls by day.",
        handler: now!(cost),
    },
];

/// Days when the caller names none.
const DAYS: u64 = 30;

crate::wire! {
    /// Quotas.
    pub struct UsageStatus {
        updated_at: u64,
        providers: Vec<Value>,
    }

    /// Over how many days.
    pub open struct CostParams {
        /// Days up to today, 30 by default; a number or digits.
        days: Option<Value>,
    }

    /// Tokens and cost.
    pub struct Cost {
        updated_at: u64,
        days: u64,
        /// Days with data, oldest first.
        daily: Vec<Day>,
        totals: Sum,
    }

    /// One day, in the host's time zone.
    pub struct Day {
        date: String,
        input: u64,
        output: u64,
        cache_read: u64,
        cache_write: u64,
        total_tokens: u64,
        /// US dollars.
        total_cost: f64,
        /// Calls of models whose prices are unknown.
        missing_cost_entries: u64,
    }

    /// All days.
    pub struct Sum {
        input: u64,
        output: u64,
        cache_read: u64,
        cache_write: u64,
        total_tokens: u64,
        /// US dollars.
        total_cost: f64,
        /// Calls of models whose prices are unknown.
        missing_cost_entries: u64,
    }
}

fn status(cx: &Cx, _: Ignored) -> Result<UsageStatus, Error> {
    Ok(UsageStatus { updated_at: cx.gateway.sys.clock.now_ms(), providers: Vec::new() })
}

fn cost(cx: &Cx, params: CostParams) -> Result<Cost, Error> {
    let days = match params.days {
        None | Some(Value::Null) => DAYS,
        Some(Value::String(text)) => text.trim().parse().unwrap_or(DAYS),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is bounded below")]
        Some(value) => value.as_f64().map_or(DAYS, |days| days as u64),
    };
    let days = days.clamp(1, 3650);
    let now_ms = cx.gateway.sys.clock.now_ms();
    let (daily, sum) = cx.gateway.stores.usage.cost(days, now_ms);
    let daily = daily.into_iter().map(|(date, totals)| {
        let Totals { input, output, cache_read, cache_write, total_tokens, total_cost, missing_cost_entries } = totals;
        Day { date, input, output, cache_read, cache_write, total_tokens, total_cost, missing_cost_entries }
    });
    let Totals { input, output, cache_read, cache_write, total_tokens, total_cost, missing_cost_entries } = sum;
    Ok(Cost {
        updated_at: now_ms,
        days,
        daily: daily.collect(),
        totals: Sum { input, output, cache_read, cache_write, total_tokens, total_cost, missing_cost_entries },
    })
}
