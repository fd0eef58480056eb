"""The field's own node host: pairs, answers, comes back, is shut out and let in again; near and far."""

from clawdbot import Clawdbot
from gateway import Gateway
from programs import Late
from proxy import Proxy

NEEDS = ["clawdbot"]
CONNECT_SECONDS = 40.0
OFFERED = ["browser.proxy", "system.execApprovals.get", "system.execApprovals.set", "system.run", "system.which"]


def run(claims, binary, directory):
    with Gateway(binary, directory / "gateway", {}, "mock/mock") as gateway:
        operator = Clawdbot(directory / "operator", gateway.port, gateway.token)
        near = Clawdbot(directory / "near", gateway.port, gateway.token)
        with operator, near.node_host("Shed") as host:
            comes_in_by_itself(claims, operator, host)
            answers(claims, operator)
            runs_what_is_approved(claims, operator)
            comes_back_after_a_restart(claims, operator, host)
            comes_back_after_a_power_cut(claims, gateway, operator, near, host)
            is_shut_out_by_a_revocation(claims, operator, near, host)
            host.end()
            with Proxy(gateway.port) as proxy:
                far = Clawdbot(directory / "far", proxy.port, gateway.token)
                waits_for_approval_from_elsewhere(claims, operator, far)


def comes_in_by_itself(claims, operator, host):
    wait_for_node(operator, host, "Shed")
    pairings = operator.do("devices", "list", "--json").json
    claims.equal("a node on this machine waits for nobody", pairings["pending"], [])
    node = node_named(operator, "Shed")
    claims.equal("nodes status has it", (node["paired"], node["platform"]), (True, "linux"))
    described = operator.do("nodes", "describe", "--node", "Shed", "--json").json
    claims.equal("nodes describe tells what it offers", described["commands"], OFFERED)
    listed = operator.do("nodes", "list")
    claims.check("nodes list has it", listed.code == 0 and "Paired: 1" in listed.stdout, listed)


def answers(claims, operator):
    found = invoke(operator, "Shed", "system.which", '{"bins": ["sh", "no-such-program"]}')
    claims.equal("system.which tells what is there and nothing else", payload(found), {"bins": {"sh": "/usr/bin/sh"}})
    refused = invoke(operator, "Shed", "system.run", '{"command": ["date"]}')
    claims.check("what nobody allowed isn't run", refused.code == 1 and "approval required" in refused.stderr, refused)
    boasted = invoke(operator, "Shed", "system.run", '{"command": ["date"], "approved": true}')
    claims.check("nor when the caller says that it was approved", boasted.code == 1, boasted)
    for program in ["/usr/bin/date", "/usr/bin/ls"]:
        added = operator.do("approvals", "allowlist", "add", "--node", "Shed", program)
        claims.check(f"approvals allowlist add {program}", added.code == 0 and program in added.stdout, added)
    shown = operator.do("approvals", "get", "--node", "Shed", "--json").json
    patterns = [entry["pattern"] for agent in shown["file"]["agents"].values() for entry in agent["allowlist"]]
    claims.equal("approvals get shows the node's file", patterns, ["/usr/bin/date", "/usr/bin/ls"])
    nanoseconds = '{"command": ["date", "+%N"]}'
    first, again = (invoke(operator, "Shed", "system.run", nanoseconds, "--idempotency-key", "once") for _ in range(2))
    claims.check("what is allowed is run", payload(first).get("success") is True, first)
    claims.equal("once for one idempotency key", payload(again).get("stdout"), payload(first).get("stdout"))
    failed = payload(invoke(operator, "Shed", "system.run", '{"command": ["ls", "/no-such-folder"]}'))
    claims.equal("a failure comes back", (failed.get("success"), failed.get("exitCode")), (False, 2))
    claims.check("with its words", "/no-such-folder" in failed.get("stderr", ""), failed)
    strange = invoke(operator, "Shed", "camera.snap", "{}")
    claims.check("what it doesn't offer is refused", "node command not allowed" in strange.stderr, strange)
    stranger = invoke(operator, "Nowhere", "system.which", "{}")
    claims.check("an unknown name is told with the known ones", "known: Shed" in stranger.stderr, stranger)
    renamed = operator.do("nodes", "rename", "--node", "Shed", "--name", "Barn")
    claims.check("nodes rename", renamed.code == 0 and node_named(operator, "Barn") is not None, renamed)


def runs_what_is_approved(claims, operator):
    """`nodes run` asks, somebody else answers, and the node runs what was shown."""
    with operator.approver("allow-once") as approver:
        approver.wait_for_line('"ready"', CONNECT_SECONDS)
        listed = operator.do("nodes", "run", "--node", "Barn", "--", "echo", "approved")
        claims.equal("nodes run runs what somebody allowed", (listed.code, listed.stdout), (0, "approved\n"))
        line = operator.do("nodes", "run", "--node", "Barn", "--raw", "echo approved too")
        claims.equal("a command line as well", (line.code, line.stdout), (0, "approved too\n"))
        unclear = operator.do("nodes", "run", "--node", "Barn", "--", "echo", "one argument")
        claims.check("not what could have been shown as something else", "approval required" in unclear.stderr, unclear)
    with operator.approver("deny") as approver:
        approver.wait_for_line('"ready"', CONNECT_SECONDS)
        denied = operator.do("nodes", "run", "--node", "Barn", "--", "echo", "approved")
        claims.check("nor what was denied", denied.code == 1 and "user denied" in denied.stderr, denied)
    repeated = invoke(operator, "Barn", "system.run", '{"command": ["echo", "approved"], "approved": true}')
    claims.check("allow-once holds once", "approval required" in repeated.stderr, repeated)


def comes_back_after_a_restart(claims, operator, host):
    """The restart of a change that the running gateway can't take over."""
    before = operator.call("config.get").json or {}
    change = {"raw": '{"gateway": {"bind": "loopback"}}', "baseHash": before.get("hash"), "restartDelayMs": 0}
    patched = operator.call("config.patch", change)
    if not claims.equal("a change of the gateway restarts it", patched.code, 0):
        return
    host.wait_for_line("closed .1012.: service restart", CONNECT_SECONDS)
    wait_for_node(operator, host, "Barn")
    claims.check("its node is told so and comes back", True)


def comes_back_after_a_power_cut(claims, gateway, operator, near, host):
    token = near.tokens()["node"]
    gateway.kill()
    gateway.start()
    wait_for_node(operator, host, "Barn")
    claims.equal("after kill -9 it comes back with the token that it had", near.tokens()["node"], token)
    found = invoke(operator, "Barn", "system.which", '{"bins": ["sh"]}')
    claims.equal("and answers under its new name", payload(found), {"bins": {"sh": "/usr/bin/sh"}})


def is_shut_out_by_a_revocation(claims, operator, near, host):
    token = near.tokens()["node"]
    device = node_named(operator, "Barn")["nodeId"]
    revoked = operator.do("devices", "revoke", "--device", device, "--role", "node")
    claims.equal("devices revoke", revoked.code, 0)
    host.wait_for_line("device token revoked", CONNECT_SECONDS)
    claims.check("its connection is cut", not node_named(operator, "Barn")["connected"])
    host.wait_for_line("closed .1008.: pairing required", CONNECT_SECONDS)
    claims.check("the shared token alone doesn't bring it back", not node_named(operator, "Barn")["connected"])
    gone = invoke(operator, "Barn", "system.which", '{"bins": ["sh"]}')
    claims.check("it isn't asked anything", "node not connected" in gone.stderr, gone)
    request = waiting(operator, device)
    approved = operator.do("devices", "approve", request["requestId"])
    claims.check("devices approve", approved.code == 0 and device in approved.stdout, approved)
    wait_for_node(operator, host, "Barn")
    claims.check("then it is let in with another token", near.tokens()["node"] != token)


def waits_for_approval_from_elsewhere(claims, operator, far):
    with far.node_host("Far") as host:
        host.wait_for_line("closed .1008.: pairing required", CONNECT_SECONDS)
        pending = operator.do("nodes", "pending", "--json").json
        claims.equal("nodes pending has a node from elsewhere", [node["displayName"] for node in pending], ["Far"])
        request = pending[0]
        claims.check("it isn't listed before it is approved", node_named(operator, "Far") is None)
        rejected = operator.do("devices", "reject", request["requestId"])
        claims.check("devices reject", rejected.code == 0 and request["deviceId"] in rejected.stdout, rejected)
        host.wait_until(lambda: waiting(operator, request["deviceId"]), CONNECT_SECONDS, "second request")
        second = waiting(operator, request["deviceId"])
        claims.check("it asks again", second["requestId"] != request["requestId"])
        approved = operator.do("nodes", "approve", second["requestId"])
        claims.equal("nodes approve", approved.code, 0)
        wait_for_node(operator, host, "Far")
        claims.check("then it has a token of its own", bool(far.tokens()["node"]))
        found = invoke(operator, "Far", "system.which", '{"bins": ["sh"]}')
        claims.equal("and answers", payload(found), {"bins": {"sh": "/usr/bin/sh"}})


def wait_for_node(operator, host, name):
    """Waits until a node is connected."""
    host.wait_until(lambda: (node_named(operator, name) or {}).get("connected"), CONNECT_SECONDS, f"node {name}")


def node_named(operator, name):
    """A node of `nodes status`; None when it has none with that name."""
    listed = operator.do("nodes", "status", "--json")
    if listed.json is None:
        raise Late(f"nodes status: {listed}")
    return next((node for node in listed.json["nodes"] if node.get("displayName") == name), None)


def waiting(operator, device):
    """The request of a device that waits for approval, or None."""
    pending = operator.do("devices", "list", "--json").json["pending"]
    return next((request for request in pending if request["deviceId"] == device), None)


def invoke(operator, node, command, params, *options):
    return operator.do("nodes", "invoke", "--node", node, "--command", command, "--params", params, *options)


def payload(said):
    """What the node answered; empty when it didn't."""
    return (said.json or {}).get("payload") or {}
