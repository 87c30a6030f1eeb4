"""The gate is itself tested: sabotages of a copy of this repository, each through the real gate.

`make test` makes the cheap ones and some of each expensive kind, `make deep` the others, and sends an honest copy through every step.
A sabotaged copy goes through the cheap steps and on to the one that must catch it, and the steps before that must be content.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import gate
from tools.sabotages import CHEAP, SABOTAGES

ROOT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".hypothesis")
STEPS = [step.name for step in gate.STEPS]
THROUGH = {"site": (*CHEAP, "book", "site")} | {step: (*CHEAP, step) for step in ("chapters", "book", "units")}


@pytest.fixture
def repository(tmp_path):
    """A copy of this repository as it stands, with the caches of its checkers and its executed chapters, but no pages."""
    def left_out(folder, names):
        pages = {name for name in names if name != "executed"} if Path(folder) == ROOT / "_build" else set()
        return pages | NOT_COPIED(folder, names)

    copy = shutil.copytree(ROOT, tmp_path / "copy", ignore=left_out)
    yield copy
    shutil.rmtree(copy)


def run_gate(repository, *arguments):
    environment = {key: value for key, value in os.environ.items() if key not in ("WM_SCALE", "IPYTHONDIR", "PYTEST_ADDOPTS")}
    environment |= {gate.INSIDE: "1", "PYTHONPATH": str(repository)}
    return subprocess.run([sys.executable, "-m", "tools.gate", "--fail-fast", *arguments], cwd=repository, env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("name", [
    name if sabotage.sampled else pytest.param(name, marks=pytest.mark.deep) for name, sabotage in SABOTAGES.items()])
def test_the_gate_catches(name, repository):
    sabotage = SABOTAGES[name]
    sabotage.change(repository)
    result = run_gate(repository, "--only", *THROUGH.get(sabotage.step, STEPS[: STEPS.index(sabotage.step) + 1]))
    failed = re.findall(r"^(\w+) +FAILED", result.stdout, re.M)
    assert (result.returncode, failed) == (1, [sabotage.step]), result.stdout
    assert re.search(sabotage.says, result.stdout), result.stdout
    assert re.fullmatch(r"\d+ passed, [1-9]\d* failed(, \d+ skipped)?", result.stdout.splitlines()[-1])


@pytest.mark.deep
def test_the_whole_gate_passes_an_honest_copy(repository):
    result = run_gate(repository)
    assert result.returncode == 0, result.stdout
    assert re.fullmatch(r"\d+ passed, 0 failed(, \d+ skipped)?", result.stdout.splitlines()[-1])


def test_there_are_at_least_ten_sabotages_and_each_names_a_step():
    assert len(SABOTAGES) >= 10
    assert {sabotage.step for sabotage in SABOTAGES.values()} <= set(STEPS)


# The gate's own bookkeeping, on steps made for the purpose.


@pytest.fixture
def step(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "LOGS", tmp_path)
    return lambda code: gate.Step("toy", "a toy", ("-c", code))


def test_a_step_that_is_no_pytest_run_counts_as_one_check(step):
    good, bad = (gate.run_step(step(code), print) for code in ("print('fine')", "raise SystemExit(3)"))
    assert (good.ok, good.passed, good.failed) == (True, 1, 0)
    assert (bad.ok, bad.passed, bad.failed) == (False, 0, 1)


def test_a_pytest_run_counts_its_tests_and_a_crash_after_them_still_fails(step):
    cases = "<testcase classname='a' name='b' time='1.5'/><testcase name='c'><failure/></testcase><testcase name='d'><skipped message='no'/></testcase>"
    write = f"open({str(gate.LOGS / 'toy.xml')!r}, 'w').write({'<testsuite>' + cases + '</testsuite>'!r})"
    counted = gate.run_step(step(write), print)
    assert (counted.passed, counted.failed, counted.skipped) == (1, 1, {"None::d": "no"})
    write = write.replace("<failure/>", "")
    assert gate.run_step(step(write + "; import os; os.abort()"), print).failed == 1


def test_a_step_that_hangs_is_stopped_with_what_it_started(step, tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "ALIVE_EVERY", 0.2)
    started = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(child.pid, flush=True); child.wait()"
    outcome = gate.run_step(step(started), print, limit=0.5)
    assert not outcome.ok and outcome.seconds < 20
    assert "was stopped after" in (tmp_path / "toy.log").read_text()


def test_the_last_line_is_the_counts(step, capsys):
    gate.report([gate.run_step(step("print('fine')"), print)], print)
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed"


def test_the_steps_run_at_smoke_scale_on_this_checkout_whatever_is_set_outside():
    inner = gate.environment({"WM_SCALE": "large", "PYTHONPATH": "/elsewhere", "PATH": "/bin"})
    assert inner["WM_SCALE"] == "smoke"
    assert inner["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)
