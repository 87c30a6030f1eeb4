"""The gate: `python -m tools test`. Runs every named step, cheap ones first, and says what each found and how long it took.

A step is one command in its own process; its whole output is in `_build/gate/STEP.log`. Everything runs at smoke scale.
The last line reads `N passed, N failed`: tests counted one by one, and one for each step that is not a pytest run.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "_build" / "gate"
BUDGET = 25 * 60  # seconds on 2 cores, as the book grows
ALIVE_EVERY = 30.0  # seconds between two signs of life
INSIDE = "WM_GATE_INSIDE"  # set inside a sabotaged copy, whose gate must not sabotage further copies
OWN_STEP = ("notebooks", "site", "browser", "gate")  # test files that have a step of their own


@dataclass(frozen=True)
class Step:
    """One command of the gate; `arguments` follow the interpreter."""

    name: str
    what: str
    arguments: tuple[str, ...]

    @property
    def log(self) -> Path:
        """Where the step's whole output goes."""
        return LOGS / f"{self.name}.log"

    @property
    def report(self) -> Path:
        """Where pytest lists its tests, for the steps that are pytest runs."""
        return LOGS / f"{self.name}.xml"


def _pytest(name: str, what: str, *arguments: str) -> Step:
    report = f"--junitxml={LOGS / name}.xml"
    return Step(name, what, ("-m", "pytest", "--color=no", "-m", "not deep", report, *arguments))


# A cell may take two minutes on a busy machine; a dead kernel is noticed within seconds (tools/kernel_watch.py).
# Warnings of Jupyter's own machinery are no business of the chapters.
_NBVAL = ("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", "--nbval-kernel-startup-timeout=60",
          "-p", "tools.kernel_watch", "-o", "filterwarnings=default")

STEPS = (
    Step("lint", "ruff over code and notebooks", ("-m", "ruff", "check", "--output-format=concise")),
    _pytest("notebooks", "hygiene of chapters, and prose of chapters and pages", "tests/test_notebooks.py"),
    Step("types", "mypy over wmlib and tools", ("-m", "mypy", "--no-color-output")),
    _pytest("chapters", "every cell of every chapter runs; contract outputs are equal", *_NBVAL, "chapters"),
    Step("book", "the site, built at smoke scale", ("-m", "tools.book", "--scale", "smoke")),
    _pytest("site", "links, anchors, captions, alt text, no external request", "tests/test_site.py"),
    _pytest("browser", "the pages as Chromium shows them", "tests/test_browser.py"),
    _pytest("units", "unit and property tests", "tests", *(f"--ignore=tests/test_{name}.py" for name in OWN_STEP)),
    _pytest("sabotage", "the gate catches what it must catch (a sample)", "tests/test_gate.py"),
)


@dataclass
class Outcome:
    """What one step found: its seconds, counts, and the time of each test."""

    step: Step
    ok: bool
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    tests: list[tuple[float, str]] = field(default_factory=list)


def environment(outer: Mapping[str, str]) -> dict[str, str]:
    """What every step sees: smoke scale, this checkout first on the path, this interpreter's programs, plain text."""
    settings = ROOT / "_build" / "ipython"
    settings.mkdir(parents=True, exist_ok=True)
    before = {"PYTHONPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)}
    joined = {key: os.pathsep.join(filter(None, [value, outer.get(key)])) for key, value in before.items()}
    quiet = {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "JUPYTER_PLATFORM_DIRS": "1",
             "PYDEVD_DISABLE_FILE_VALIDATION": "1", "IPYTHONDIR": str(settings)}
    return {**quiet, **outer, **joined, "WM_SCALE": "smoke"}


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:90]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a step and all it started: kernels, workers, browsers."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def run_step(step: Step, say: Callable[[str], None], *extra: str, limit: float = BUDGET) -> Outcome:
    """Runs one step, with `extra` arguments, to its log, with a sign of life now and then."""
    step.report.unlink(missing_ok=True)
    started = time.monotonic()
    with step.log.open("wb") as log:
        process = subprocess.Popen([sys.executable, *step.arguments, *extra], cwd=ROOT, env=environment(os.environ),
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=ALIVE_EVERY)
                except subprocess.TimeoutExpired:
                    spent = time.monotonic() - started
                    say(f"      {step.name}: {spent:.0f} s so far; {_last_line(step.log)}")
                    if spent > limit:
                        _stop(process)
                        log.write(f"\n{step.name} was stopped after {spent:.0f} s: it hangs, or it is far too slow.\n".encode())
        except KeyboardInterrupt:
            _stop(process)
            raise
    outcome = Outcome(step, process.returncode == 0, time.monotonic() - started)
    _count(outcome)
    return outcome


def _count(outcome: Outcome) -> None:
    """Fills in the counts from pytest's report; a step without one counts as a single check."""
    if outcome.step.report.exists():
        for case in ET.parse(outcome.step.report).iter("testcase"):
            name = f"{case.get('classname')}::{case.get('name')}"
            outcome.tests.append((float(case.get("time", 0)), name))
            skipped = case.find("skipped")
            if skipped is not None:
                outcome.skipped[name] = skipped.get("message", "")
            elif case.find("failure") is not None or case.find("error") is not None:
                outcome.failed += 1
            else:
                outcome.passed += 1
    if not outcome.tests:
        outcome.passed = int(outcome.ok)
    if not outcome.ok:
        outcome.failed = max(outcome.failed, 1)


def report(outcomes: list[Outcome], say: Callable[[str], None]) -> None:
    """The closing table: steps, slowest tests, what was skipped, the budget, the logs, the counts."""
    total = sum(outcome.seconds for outcome in outcomes)
    say("\nstep        result   seconds")
    for outcome in outcomes:
        say(f"{outcome.step.name:10}  {'ok' if outcome.ok else 'FAILED':7} {outcome.seconds:8.1f}")
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    say(f"The slowest step is {slowest.step.name}. The slowest tests:")
    for seconds, name in sorted((test for outcome in outcomes for test in outcome.tests), reverse=True)[:10]:
        say(f"  {seconds:7.1f} s  {name}")
    for outcome in outcomes:
        for name, why in outcome.skipped.items():
            say(f"Skipped: {name}: {why}")
    say(f"{total:.0f} s of the {BUDGET} s that the gate may take; every step's full output is in _build/gate/.")
    if total > BUDGET:
        say(f"WARNING: the gate is {total - BUDGET:.0f} s over its budget.")
    passed, failed, skipped = (sum(n) for n in zip(*((o.passed, o.failed, len(o.skipped)) for o in outcomes), strict=True))
    say(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))


def main(argv: list[str]) -> int:
    """Runs the steps asked for (all of them by default); 0 only when every one is well."""
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(prog="python -m tools test", description="The gate: every check of the book.")
    parser.add_argument("--only", nargs="+", metavar="STEP", choices=names, help="run these steps only")
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first test, or step, that fails")
    parser.add_argument("--list", action="store_true", help="list the steps and stop there")
    options = parser.parse_args(argv)
    if options.list:
        print("\n".join(f"{step.name:10}  {step.what}" for step in STEPS))
        return 0

    def say(line: str) -> None:
        print(line, flush=True)

    chosen = [step for step in STEPS if step.name in (options.only or names)]
    if INSIDE in os.environ:
        chosen = [step for step in chosen if step.name != "sabotage"]
    LOGS.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for number, step in enumerate(chosen, start=1):
        say(f"[{number} of {len(chosen)}, {sum(outcome.seconds for outcome in outcomes):.0f} s] {step.name}: {step.what}")
        if step.name == "sabotage" and not all(outcome.ok for outcome in outcomes):
            say("      not run: sabotaging what already fails proves nothing")
            break
        outcomes.append(run_step(step, say, *(["-x"] if options.fail_fast and "pytest" in step.arguments else [])))
        if not outcomes[-1].ok:
            say(f"      {step.name} FAILED. The end of {step.log.relative_to(ROOT)}:")
            say("\n".join(f"      | {line}" for line in step.log.read_text(errors="replace").splitlines()[-60:]))
            if options.fail_fast:
                break
    report(outcomes, say)
    return 0 if all(outcome.ok for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
