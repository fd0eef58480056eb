//! `/metrics`: counters and gauges in Prometheus's text form.

use std::fmt::Write as _;
use std::path::Path;

use hyper::StatusCode;

use super::{Answer, At, Call, Guard, Route, Verb, of};
use crate::gateway::Gateway;

/// Rows.
pub(super) const ROUTES: &[Route] = &[Route {
    path: At::Path("/metrics"),
    doc: "connections, buffers, runs, lag of the event loop and memory, as Prometheus reads them",
    verb: Verb::Get,
    is_on: |config| config.gateway.http.metrics,
    guard: Guard::Secret,
    body_max: |_| 0,
    run: |call| Box::pin(std::future::ready(answer(&call))),
}];

/// Largest `/proc/self/status` that is read, bytes.
const STATUS_BYTES: u64 = 16 * 1024;

fn answer(call: &Call) -> Answer {
    let gateway = &call.gateway;
    gateway.lag.watch(gateway);
    let mut out = String::with_capacity(4096);
    for metric in metrics(gateway) {
        let Metric { name, kind, help, value } = metric;
        let _ = writeln!(out, "# HELP barnacle_{name} {help}\n# TYPE barnacle_{name} {kind}\nbarnacle_{name} {value}");
    }
    gateway.lag.write(&mut out);
    of(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", out.into_bytes())
}

struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: u64,
}

fn metrics(gateway: &Gateway) -> Vec<Metric> {
    let hub = gateway.hub.counters();
    let (running, queued) = gateway.runs.counts();
    let gauge = |name, help, value: usize| Metric { name, kind: "gauge", help, value: value as u64 };
    let counter = |name, help, value| Metric { name, kind: "counter", help, value };
    let mut metrics = vec![
        gauge("uptime_seconds", "Seconds since the process started.", 0),
        gauge("connections", "Admitted connections.", hub.connections),
        counter("slow_closed_total", "Connections closed because they read too slowly.", hub.slow_closed),
        counter("events_skipped_total", "Events that slow connections missed.", hub.events_skipped),
        gauge("unsent_bytes", "Bytes that wait to be sent.", gateway.outgoing.used()),
        gauge("incoming_bytes", "Bytes of unfinished messages and waiting calls.", gateway.incoming.used()),
        gauge("calls_in_flight", "Calls that wait for their answer.", gateway.calls.used()),
        gauge("runs_running", "Runs that go.", running),
        gauge("runs_queued", "Runs that wait for their turn.", queued),
        gauge("sessions", "Sessions in the index.", gateway.stores.sessions.len()),
        gauge("remembered_answers", "Answers kept for repeated requests.", gateway.answers.len()),
        gauge(
            "storage_ok",
            "1 when everything could be written, else 0.",
            usize::from(gateway.stores.saver.trouble().is_none()),
        ),
        gauge("log_ok", "1 when the log could be written, else 0.", usize::from(gateway.journal.trouble().is_none())),
    ];
    if let Some(uptime) = metrics.first_mut() {
        uptime.value = gateway.uptime_ms() / 1000;
    }
    if let Some(resident) = resident_bytes(gateway) {
        metrics.push(Metric {
            name: "resident_bytes",
            kind: "gauge",
            help: "Memory of the process, program text included.",
            value: resident,
        });
    }
    metrics
}

/// Resident memory, where the system tells it. (`VmRSS` is in kB whatever the size of a page.)
fn resident_bytes(gateway: &Gateway) -> Option<u64> {
    let status = gateway.sys.files.read(Path::new("/proc/self/status"), STATUS_BYTES).ok()?;
    let status = String::from_utf8_lossy(&status).into_owned();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kb: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kb * 1024)
}
