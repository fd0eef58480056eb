"""Headless Chromium with one page, and a server for the files of a page. Everything stays on this machine."""

import functools
import http.server
import json
import pathlib
import queue
import shutil
import subprocess
import threading

from programs import END_SECONDS, HERE, Late

NAME = "chromium"
# Debian's name, and that of others.
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
STEP_SECONDS = 20.0
START_SECONDS = 60.0


class Browser:
    """One person's browser: its profile lives below `directory`."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.lines = queue.Queue()
        self.is_new = True
        with (self.directory / "browser.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["node", HERE / "browser.mjs", PROGRAM, self.directory / "profile", str(int(STEP_SECONDS * 1000))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=HERE, text=True, start_new_session=True,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            # Asked like this it still ends the browser; killed, it would leave it behind.
            self.process.terminate()
            self.process.wait(END_SECONDS)

    def do(self, step, *arguments):
        """One of the steps of browser.mjs. Returns its result; fails when it has none in time."""
        self.process.stdin.write(json.dumps([step, *map(str, arguments)]) + "\n")
        self.process.stdin.flush()
        seconds = STEP_SECONDS + (START_SECONDS if self.is_new else 5)
        self.is_new = False
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            raise Late(f"browser: {step} {arguments}: no end within {seconds} s") from None
        if line is None:
            raise Late(f"browser: {step} {arguments}: the browser ended")
        answer = json.loads(line)
        if "error" in answer:
            raise Late(f"browser: {step} {arguments}: {answer['error']}")
        return answer["ok"]

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)


class Pages:
    """Serves the files of a page with one HTML file, under whatever path it gives itself."""

    def __init__(self, directory):
        handler = functools.partial(_Handler, directory=str(directory))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.origin = f"http://localhost:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if "." not in self.path.split("?")[0]:
            self.path = "/index.html"
        super().do_GET()

    def log_message(self, *_):
        pass
