"""The field's own command line: every family of its commands that asks the gateway, and what it prints."""

import json
import subprocess
import time

from clawdbot import Clawdbot
from gateway import Gateway, texts
from mock_provider import MockProvider
from proxy import Proxy

NEEDS = ["aimock", "clawdbot"]
ANSWER = "Hello from the mock provider."
SETTLE_SECONDS = 10.0
SCOPES = ["operator.admin", "operator.approvals", "operator.pairing"]
MAIN = "agent:main:main"

# What can be read with `gateway call` and which keys the recorded answers have (methods.md, connection.md 6).
READS = [
    ("agent.identity.get", {}, "agentId name avatar"),
    ("agents.list", {}, "agents defaultId mainKey scope"),
    ("channels.status", {}, "ts channelOrder channelLabels channels channelAccounts channelDefaultAccountId"),
    ("chat.history", {"sessionKey": "main"}, "sessionKey sessionId messages"),
    ("config.get", {}, "path exists raw parsed valid config hash issues warnings legacyIssues"),
    ("config.schema", {}, "schema uiHints version generatedAt"),
    ("cron.list", {}, "jobs"),
    ("cron.status", {}, "enabled storePath jobs nextWakeAtMs"),
    ("device.pair.list", {}, "pending paired"),
    ("exec.approvals.get", {}, "path exists hash file"),
    ("health", {}, "ok ts durationMs channels channelOrder channelLabels defaultAgentId agents sessions"),
    ("logs.tail", {"limit": 5}, "file cursor size lines truncated reset"),
    ("models.list", {}, "models"),
    ("node.list", {}, "ts nodes"),
    ("node.pair.list", {}, "pending paired"),
    ("sessions.list", {}, "ts path count defaults sessions"),
    ("sessions.preview", {"keys": ["main"]}, "ts previews"),
    ("sessions.resolve", {"key": "main"}, "ok key"),
    ("skills.status", {}, "workspaceDir managedSkillsDir skills"),
    ("status", {}, "heartbeat channelSummary queuedSystemEvents sessions"),
    ("tts.providers", {}, "providers active"),
    ("tts.status", {}, "enabled auto provider fallbackProviders prefsPath hasOpenAIKey hasElevenLabsKey"),
    ("usage.cost", {}, "updatedAt days daily totals"),
    ("usage.status", {}, "updatedAt providers"),
    ("voicewake.get", {}, "triggers"),
]


def run(claims, binary, directory):
    with MockProvider(directory) as mock:
        providers = {"mock": mock.provider("openai-completions")}
        with Gateway(binary, directory / "gateway", providers, "mock/mock") as gateway:
            person = Clawdbot(directory / "person", gateway.port, gateway.token)
            the_way_a_person_does(claims, person)
            with person:
                for family in FAMILIES:
                    family(claims, person)
                other_ways_in(claims, gateway, person)
                gateway.stop()
                left_behind(claims, gateway, person)
            with Proxy(gateway.port) as proxy:
                from_elsewhere(claims, gateway, Clawdbot(directory / "elsewhere", proxy.port, gateway.token))
            stranger(claims, Clawdbot(directory / "stranger", gateway.port, "0" * 64))


def the_way_a_person_does(claims, person):
    """Commands in processes of their own."""
    health = person.alone("health", "--json")
    claims.equal("health --json ends with 0", health.code, 0)
    claims.check("and prints JSON and nothing else", (health.json or {}).get("ok") is True, health)
    said = person.alone("agent", "--agent", "main", "--message", "say hello")
    claims.equal("agent prints the answer", (said.code, said.stdout.strip()), (0, ANSWER))


def agent(claims, person):
    said = person.do("agent", "--session-id", "notes", "--message", "say hello", "--json").json or {}
    payloads = (said.get("result") or {}).get("payloads") or [{}]
    claims.equal("agent --json has the answer", (said.get("status"), payloads[0].get("text")), ("ok", ANSWER))
    failed = person.do("agent", "--session-id", "notes", "--message", "wrong key")
    told = "Gateway agent failed" in failed.stderr and "HTTP 401" in failed.stderr
    claims.check("agent tells why an answer failed", failed.code != 0 and told, failed)
    turn = {"message": "say hello", "sessionKey": "main", "idempotencyKey": "cli-1"}
    accepted = person.call("agent", turn).json or {}
    claims.equal("a run can be started without waiting", accepted.get("status"), "accepted")
    waited = person.call("agent.wait", {"runId": accepted.get("runId"), "timeoutMs": 10_000}).json or {}
    claims.equal("and waited for", waited.get("status"), "ok")


def overview(claims, person):
    health = person.do("health")
    claims.check("health names the agent", health.code == 0 and "Agents: main (default)" in health.stdout, health)
    for command in [("status",), ("status", "--all")]:
        status = person.do(*command)
        claims.check(f"{' '.join(command)} reaches the gateway",
                     status.code == 0 and " · reachable " in status.stdout, status)
    probe = person.do("gateway", "probe", "--json")
    claims.check("gateway probe reaches it", probe.code == 0 and (probe.json or {}).get("ok") is True, probe)
    service = person.do("gateway", "status", "--json")
    claims.equal("gateway status reaches it", ((service.json or {}).get("rpc") or {}).get("ok"), True)
    cost = person.do("gateway", "usage-cost")
    claims.check("gateway usage-cost prints totals", cost.code == 0 and "Total:" in cost.stdout, cost)


def reads(claims, person):
    for method, params, keys in READS:
        said = person.call(method, params)
        missing = set(keys.split()) - set(said.json or {})
        claims.check(f"gateway call {method}", said.code == 0 and not missing, f"missing {sorted(missing)}\n{said}")
    unknown = person.call("no.such.method")
    claims.check("a method that isn't there is told", "unknown method: no.such.method" in unknown.stderr, unknown)
    wrong = person.call("chat.history", {"sessionKey": 5})
    claims.check("wrong params are told", "invalid chat.history params" in wrong.stderr, wrong)


def sessions(claims, person):
    history = person.call("chat.history", {"sessionKey": "main"}).json or {}
    claims.equal("chat.history has the answers", texts(history.get("messages"), "assistant"), [ANSWER, ANSWER])
    patched = person.call("sessions.patch", {"key": "main", "label": "Kitchen"}).json or {}
    claims.equal("sessions.patch names a session", (patched.get("entry") or {}).get("label"), "Kitchen")
    listed = (person.call("sessions.list").json or {}).get("sessions") or []
    claims.check("sessions.list has the name", "Kitchen" in [row.get("label") for row in listed], listed)
    reset = person.call("sessions.reset", {"key": "main"}).json or {}
    claims.equal("sessions.reset", (reset.get("ok"), reset.get("key")), (True, MAIN))
    said = person.do("agent", "--agent", "main", "--message", "say hello again")
    claims.equal("after which it answers", said.stdout.strip(), ANSWER)


def logs(claims, person):
    plain = person.do("logs", "--plain")
    claims.check("logs prints the file's name and its lines",
                 plain.code == 0 and plain.stdout.startswith("Log file: ") and " gateway " in plain.stdout, plain)
    lines = [json.loads(line) for line in person.do("logs", "--json", "--limit", "5").stdout.splitlines()]
    claims.equal("logs --json begins with where it is", [line["type"] for line in lines[:1]], ["meta"])
    parsed = [line for line in lines if line["type"] == "log"]
    claims.check("and can read every line", len(parsed) == 5 and all("message" in line for line in parsed), lines)


def devices(claims, person):
    listed = person.do("devices", "list", "--json").json or {}
    mine = (listed.get("paired") or [{}])[0]
    claims.equal("devices list has this one", (mine.get("role"), mine.get("scopes")), ("operator", SCOPES))
    claims.check("without its token's text", person.tokens()["operator"] not in json.dumps(listed))
    before = person.tokens()["operator"]
    rotated = person.do("devices", "rotate", "--device", mine.get("deviceId", ""), "--role", "operator").json or {}
    token = rotated.get("token", "")
    claims.check("devices rotate makes another token", len(token) == 32 and token != before, rotated)
    claims.equal("with the same scopes", rotated.get("scopes"), SCOPES)
    old = person.call("health")
    claims.check("the old one is refused", old.code == 1 and "gateway token mismatch" in old.stderr, old)
    again = person.call("health")
    claims.equal("the shared one brings the new one", (again.code, person.tokens()["operator"]), (0, token))
    unknown = person.do("devices", "approve", "no-such-request")
    claims.check("devices approve of nothing is told", "unknown requestId" in unknown.text, unknown)


def approvals(claims, person):
    added = person.do("approvals", "allowlist", "add", "--gateway", "/usr/bin/uptime")
    claims.check("approvals allowlist add", added.code == 0 and "/usr/bin/uptime" in added.stdout, added)
    shown = person.do("approvals", "get", "--gateway", "--json").json or {}
    agents = shown.get("file", {}).get("agents", {}).values()
    rules = [rule for agent in agents for rule in agent.get("allowlist", [])]
    claims.equal("approvals get has it", [rule["pattern"] for rule in rules], ["/usr/bin/uptime"])
    removed = person.do("approvals", "allowlist", "remove", "--gateway", "/usr/bin/uptime")
    claims.check("approvals allowlist remove", removed.code == 0 and "No allowlist entries" in removed.stdout, removed)
    stale = person.call("exec.approvals.set", {"file": {"version": 1}, "baseHash": shown.get("hash")})
    claims.check("a file that has changed meanwhile isn't replaced", "changed since last load" in stale.stderr, stale)


def cron(claims, person):
    added = person.do("cron", "add", "--name", "Morning", "--cron", "0 7 * * *", "--tz", "Europe/Berlin",
                      "--system-event", "Good morning")
    claims.check("cron add", added.code == 0 and (added.json or {}).get("enabled") is True, added)
    turn = person.do("cron", "add", "--name", "Greeting", "--every", "1h", "--session", "isolated",
                     "--message", "say hello").json or {}
    once = person.do("cron", "add", "--name", "Once", "--at", "20m", "--system-event", "Now").json or {}
    listed = person.do("cron", "list")
    rows = ["cron 0 7 * * * @ Europe/Berlin", "every 1h", "in 20m", "Greeting"]
    claims.check("cron list prints them", all(row in listed.stdout for row in rows), listed)
    forced = person.do("cron", "run", turn.get("id", ""), "--force").json or {}
    claims.equal("cron run --force starts it", (forced.get("ok"), forced.get("ran")), (True, True))
    greeting = turn.get("id", "")
    entries = until(lambda: (person.do("cron", "runs", "--id", greeting).json or {}).get("entries"))
    claims.equal("cron runs tells how it went", [(entry["status"], entry.get("summary")) for entry in entries],
                 [("ok", ANSWER)])
    due = person.do("cron", "run", turn.get("id", "")).json or {}
    claims.equal("cron run of what isn't due doesn't", (due.get("ran"), due.get("reason")), (False, "not-due"))
    morning = (added.json or {}).get("id", "")
    edited = person.do("cron", "edit", morning, "--name", "Dawn", "--disable").json or {}
    claims.equal("cron edit", (edited.get("name"), edited.get("enabled")), ("Dawn", False))
    claims.check("cron list leaves out what is disabled", "Dawn" not in person.do("cron", "list").stdout)
    claims.check("cron list --all doesn't", "Dawn" in person.do("cron", "list", "--all").stdout)
    enabled = person.do("cron", "enable", morning).json or {}
    claims.equal("cron enable", enabled.get("enabled"), True)
    for job in (morning, turn.get("id", ""), once.get("id", "")):
        claims.equal("cron rm", person.do("cron", "rm", job).json, {"ok": True, "removed": True})
    wrong = person.do("cron", "add", "--name", "Wrong", "--cron", "61 * * * *", "--system-event", "never")
    claims.check("a schedule that can't be is refused", wrong.code == 1 and "61" in wrong.stderr, wrong)
    claims.equal("no job is left", (person.do("cron", "status").json or {}).get("jobs"), 0)


def system(claims, person):
    queued = person.do("system", "event", "--text", "The door is open", "--mode", "next-heartbeat")
    claims.equal("system event", (queued.code, queued.stdout.strip()), (0, "ok"))
    claims.equal("system heartbeat last", person.do("system", "heartbeat", "last").code, 0)
    off = person.do("system", "heartbeat", "disable", "--json").json
    claims.equal("system heartbeat disable", off, {"ok": True, "enabled": False})
    on = person.do("system", "heartbeat", "enable", "--json").json
    claims.equal("system heartbeat enable", on, {"ok": True, "enabled": True})
    presence = person.do("system", "presence", "--json").json or []
    claims.check("system presence has the gateway", "gateway" in [entry.get("mode") for entry in presence], presence)


def config(claims, person):
    before = person.call("config.get").json or {}
    claims.check("config.get hides the token", person.token not in json.dumps(before) and before.get("valid") is True)
    change = {"raw": '{"agents": {"defaults": {"timeoutSeconds": 321}}}', "baseHash": before.get("hash")}
    patched = person.call("config.patch", change)
    claims.equal("config.patch", (patched.code, (patched.json or {}).get("ok")), (0, True))
    conflict = person.call("config.patch", change)
    claims.check("not on top of another change", conflict.code == 1 and "config changed" in conflict.stderr, conflict)
    wrong = person.call("config.patch", {"raw": '{"gateway": {"port": "often"}}', "baseHash": hash_of(person)})
    claims.check("nor what can't be", wrong.code == 1 and "config" in wrong.stderr, wrong)
    after = (person.call("config.get").json or {}).get("parsed", {}).get("agents", {}).get("defaults", {})
    claims.equal("config.get has the change", after.get("timeoutSeconds"), 321)
    # A patch starts the gateway anew where the running one can't take it over.
    until(lambda: person.call("health").code == 0)


def hash_of(person):
    return (person.call("config.get").json or {}).get("hash")


def wizard(claims, person):
    started = person.call("wizard.start", {"mode": "local"}).json or {}
    claims.check("wizard.start has a first step", started.get("status") == "running" and started.get("step"), started)
    session = {"sessionId": started.get("sessionId", "")}
    claims.equal("wizard.status", (person.call("wizard.status", session).json or {}).get("status"), "running")
    claims.equal("wizard.cancel", (person.call("wizard.cancel", session).json or {}).get("status"), "cancelled")


def channels(claims, person):
    status = person.do("channels", "status")
    claims.check("channels status reaches the gateway", "Gateway reachable." in status.stdout, status)
    sent = person.call("send", {"to": "you", "message": "hi", "channel": "nowhere", "idempotencyKey": "cli-2"})
    claims.check("send to a channel that isn't there is told", "unsupported channel: nowhere" in sent.stderr, sent)


def voice(claims, person):
    triggers = {"triggers": ["barnacle", "computer"]}
    claims.equal("voicewake.set", person.call("voicewake.set", triggers).json, triggers)
    claims.equal("voicewake.get", person.call("voicewake.get").json, triggers)
    talk = person.call("talk.mode", {"enabled": True, "phase": "listening"}).json or {}
    claims.equal("talk.mode", (talk.get("enabled"), talk.get("phase")), (True, "listening"))


def other_ways_in(claims, gateway, person):
    url = person.do("gateway", "call", "health", "--json", "--url", gateway.guide_url, "--token", gateway.token)
    claims.equal("--url and --token, on the guide's path", (url.json or {}).get("ok"), True)


def left_behind(claims, gateway, person):
    """What it can say of a gateway that has ended."""
    gone = person.do("health")
    claims.check("health of no gateway ends with 1", gone.code == 1 and "gateway closed (1006" in gone.stderr, gone)
    store = gateway.directory / "state/agents/main/sessions/sessions.json"
    read = person.do("sessions", "--json", "--store", str(store)).json or {}
    claims.check("sessions reads the file that the gateway leaves",
                 MAIN in [row["key"] for row in read.get("sessions", [])], read)
    gateway.start()


def from_elsewhere(claims, gateway, person):
    with person:
        refused = person.call("health")
        claims.check("from elsewhere it has to wait", "pairing required" in refused.stderr, refused)
        waiting = json.loads(barnacle(gateway, "devices", "list", "--json") or "{}").get("pending", [])
        claims.equal("barnacle devices list has it", [request["scopes"] for request in waiting], [SCOPES])
        for request in waiting:
            barnacle(gateway, "devices", "approve", request["requestId"])
        claims.equal("barnacle devices approve lets it in", person.call("health").code, 0)


def stranger(claims, person):
    refused = person.alone("gateway", "call", "health")
    hint = "set gateway.remote.token to match gateway.auth.token"
    claims.check("a wrong token is refused with a hint", refused.code == 1 and hint in refused.stderr, refused)


def barnacle(gateway, *arguments):
    """What the product's own command line prints."""
    environment = gateway.environment() | {"BARNACLE_URL": gateway.native_url, "BARNACLE_TOKEN": gateway.token}
    done = subprocess.run([gateway.binary, *arguments], capture_output=True, text=True, env=environment, timeout=30)
    return done.stdout


def until(condition):
    """Asks again until something comes; the last answer when nothing did."""
    deadline = time.monotonic() + SETTLE_SECONDS
    found = condition()
    while not found and time.monotonic() < deadline:
        found = condition()
    return found or []


FAMILIES = [
    agent, overview, reads, sessions, logs, devices, approvals, cron, system, config, wizard, channels, voice,
]
