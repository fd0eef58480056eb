"""What the tests against other programs found: one line per claim, counted. Never decides what to test."""


class Claims:
    """Counts and prints claims. A scenario's lines are grouped by its name."""

    def __init__(self, must_have_all):
        """`must_have_all`: a counterpart that is not installed is a failure, as in CI."""
        self.must_have_all = must_have_all
        self.passed = self.failed = self.skipped = 0
        self.scenario = ""

    def check(self, claim, holds, seen=""):
        """Notes whether a claim holds; `seen` is shown when it does not. Returns `holds`."""
        if holds:
            self.passed += 1
            self._say(f"ok {self.scenario}: {claim}")
        else:
            self.failed += 1
            self._say(f"FAIL {self.scenario}: {claim}" + (f"\n     seen: {seen}" if seen != "" else ""))
        return bool(holds)

    def equal(self, claim, found, wanted):
        """Notes whether two values are equal."""
        return self.check(claim, found == wanted, f"{found!r}, wanted {wanted!r}")

    def skip(self, program):
        """Notes a counterpart that is not here."""
        self.skipped += 1
        self._say(f"skipped: {program} not installed")
        if self.must_have_all:
            self.check(f"{program} is installed", False, "CI needs every counterpart")

    def closing_line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    @staticmethod
    def _say(line):
        print(line, flush=True)
