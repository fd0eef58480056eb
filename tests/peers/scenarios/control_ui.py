"""The field's own control page in a real browser: it waits for its approval, shows everything, chats and changes things."""

import json
import time

import clawdbot
from browser import Browser, Pages
from gateway import Gateway
from mock_provider import MockProvider
from scenarios.command_line import command

NEEDS = ["aimock", "clawdbot", "playwright-core", "chromium"]
ANSWER = "Hello from the mock provider."
COMMENT = "// as its owner wrote it"
CHANGE_SECONDS = 20.0
# What each page shows when it has what it asked for.
SHOWN = {
    "overview": ["Connected", "Enabled"],
    "channels": ["Bot status and channel configuration.", "Link WhatsApp Web"],
    "instances": ["clawdbot-control-ui webchat", "Reason self"],
    "sessions": ["agent:main:main"],
    "cron": ["Scheduler", "No jobs yet."],
    "skills": ["a skill for the page"],
    "nodes": ["Paired", "operator · active", "Exec approvals"],
    "config": ["valid", "All Settings"],
    "logs": ["listens on ws://127.0.0.1"],
    "debug": ["queuedSystemEvents", "heartbeatSeconds"],
}
# How the page marks what went wrong.
WRONG = ".callout.danger"
# What it marks the same though it is as it should be: a model may be a text or an object, with the original too; and
# a channel that this gateway doesn't have says so.
RIGHT = ["Form view can't safely edit some fields", " is not available: "]


def run(claims, binary, directory):
    with MockProvider(directory) as mock, Pages(clawdbot.DIST / "control-ui") as pages:
        gateway = Gateway(binary, directory / "gateway", {"mock": mock.provider("openai-completions")}, "mock/mock")
        allow(gateway, pages.origin)
        write_skill(gateway)
        with gateway, Browser(directory / "browser") as browser:
            page = Page(browser, pages.origin, directory)
            comes_in(claims, gateway, page)
            chats(claims, page)
            shows(claims, page)
            schedules(claims, gateway, page)
            changes(claims, gateway, page)
            configures(claims, gateway, page)
            calls(claims, page)
            comes_back(claims, gateway, page)
            claims.equal("nothing has failed inside the page", page.do("faults"), [])


class Page:
    """The control page at one origin."""

    def __init__(self, browser, origin, directory):
        self.do = browser.do
        self.origin = origin
        self.directory = directory

    def open(self, name, query=""):
        self.do("open", f"{self.origin}/{name}{query}")

    def wrong(self):
        """What the page shows as wrong."""
        found = [self.do("text", f"{WRONG} >> nth={index}") for index in range(self.do("count", WRONG))]
        return [text for text in found if not any(words in text for words in RIGHT)]

    def picture(self, name):
        self.do("picture", self.directory / f"{name}.png")


def allow(gateway, origin):
    """Lets the page's origin in, in a file that its owner has commented."""
    config = json.loads(gateway.config_file.read_text())
    config["gateway"]["allowedOrigins"] = [origin]
    gateway.config_file.write_text(f"{COMMENT}\n{json.dumps(config, indent=2)}\n")


def write_skill(gateway):
    skill = gateway.directory / "state/workspace/skills/shown/SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text("---\nname: shown\ndescription: a skill for the page\n---\nNothing to do.\n")


def comes_in(claims, gateway, page):
    page.open("overview", f"?gatewayUrl=ws://127.0.0.1:{gateway.port}&token={gateway.token}")
    page.do("shows", "pairing required")
    waiting = told(gateway, "device.pair.list")["pending"]
    claims.equal("a page is not paired silently, token or not", [one["clientId"] for one in waiting], ["clawdbot-control-ui"])
    approved = command(gateway, "devices", "approve", waiting[0]["requestId"])
    claims.equal("its request can be approved on the command line", approved.returncode, 0)
    page.do("waits", ".stat-value:text-is('Connected')")
    claims.check("then it comes in by itself", True)
    page.do("faults")  # It may have logged that it was refused.


def chats(claims, page):
    page.open("chat")
    say(page, "say hello")
    page.do("shows", ANSWER)
    claims.check("a message is answered", True)
    say(page, "speak slowly")
    page.do("shows", "One word after")
    claims.equal("the answer is shown while it comes", page.do("count", "text=the end of it all."), 0)
    page.do("shows", "before the end of it all.")
    say(page, "wrong key")
    page.do("shows", "HTTP 401")
    claims.check("a failure is shown with its reason", True)
    page.picture("chat")


def say(page, words):
    page.do("fill", ".chat-compose textarea", words)
    page.do("click", ".chat-compose button:has-text('Send')")


def shows(claims, page):
    for name, words in SHOWN.items():
        page.open(name)
        for word in words:
            page.do("shows", word)
        page.picture(name)
        claims.equal(f"the page '{name}' shows what it asked for, and nothing wrong", page.wrong(), [])


def schedules(claims, gateway, page):
    page.open("cron")
    page.do("shows", "No jobs yet.")
    page.do("fill", "label:has-text('Name') input", "from the page")
    page.do("fill", "label:has-text('System text') textarea", "look around")
    page.do("click", "button:has-text('Add job')")
    page.do("waits", ".list-title:has-text('from the page')")
    jobs = told(gateway, "cron.list")["jobs"]
    claims.equal("a job that was added in the page is there", [job["name"] for job in jobs], ["from the page"])
    page.do("click", ".list-item:has-text('from the page') button:has-text('Runs')")
    page.do("shows", "No runs yet.")
    page.picture("cron-added")
    claims.equal("and nothing is wrong with it", page.wrong(), [])


def changes(claims, gateway, page):
    page.open("sessions")
    page.do("choose", "select:has(option[value='minimal'])", "low")
    level = until(lambda: told(gateway, "sessions.list")["sessions"][0].get("thinkingLevel"))
    claims.equal("a session can be changed", level, "low")
    page.open("nodes")
    page.do("choose", "select:has(option[value='allowlist'])", "allowlist")
    page.do("click", ".card:has-text('Exec approvals') button:text-is('Save')")
    security = until(lambda: told(gateway, "exec.approvals.get")["file"].get("defaults", {}).get("security"))
    claims.equal("and what may run", security, "allowlist")
    page.open("skills")
    page.do("click", "button:text-is('Disable')")
    page.do("waits", "button:text-is('Enable')")
    text = gateway.config_file.read_text()
    claims.check("a skill can be switched off, and the comment is kept", COMMENT in text and '"enabled": false' in text, text)
    page.picture("skills-off")
    claims.equal("and nothing is wrong with it", page.wrong(), [])


def told(gateway, method):
    """What a method answers."""
    return json.loads(command(gateway, "call", method).stdout)


def until(look):
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + CHANGE_SECONDS
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def configures(claims, gateway, page):
    page.open("config")
    before = gateway.config_file.read_text()
    page.do("click", ".config-nav__item:has-text('Logging')")
    page.do("click", ".config-subnav__item:text-is('Level')")
    page.do("choose", ".config-content select", "debug")
    page.picture("config-form")
    save(page)
    text = changed(gateway, before)
    claims.check("a change in the form is saved, and the comment is kept", COMMENT in text and '"debug"' in text, text)
    added = set(json.loads(text.replace(COMMENT, ""))) - set(json.loads(before.replace(COMMENT, "")))
    claims.equal("no default is written down", added, {"logging"})
    claims.check("secrets come through unharmed", gateway.token in text and "REDACTED" not in text, text)
    page.do("click", ".config-mode-toggle__btn:has-text('Raw')")
    raw = page.do("value", ".config-raw-field textarea")
    claims.check("the text is shown with its comment and without secrets", COMMENT in raw and gateway.token not in raw, raw)
    page.do("fill", ".config-raw-field textarea", raw.replace('"debug"', '"warn" /* in the page */'))
    page.picture("config-raw")
    save(page)
    after = changed(gateway, text)
    claims.equal("the text is saved as it stands", after, text.replace('"debug"', '"warn" /* in the page */'))
    claims.equal("and nothing is wrong with it", page.wrong(), [])


def save(page):
    page.do("click", ".config-actions button:text-is('Save')")
    page.do("shows", "No changes")


def changed(gateway, before):
    """The configuration once it is another than before."""
    until(lambda: gateway.config_file.read_text() != before)
    return gateway.config_file.read_text()


def calls(claims, page):
    page.open("debug")
    page.do("fill", "label:has-text('Method') input", "voicewake.get")
    page.do("click", "button:text-is('Call')")
    page.do("shows", "triggers")
    claims.equal("a method can be called by hand", page.wrong(), [])


def comes_back(claims, gateway, page):
    page.open("overview")
    page.do("waits", ".stat-value:text-is('Connected')")
    gateway.kill()
    page.do("waits", ".stat-value:text-is('Disconnected')")
    gateway.start()
    page.do("waits", ".stat-value:text-is('Connected')")
    claims.check("after kill -9 it comes back without being asked again", True)
    page.do("faults")  # It may have logged that nobody was there.
