"""What continuous integration runs: the same two commands as a reader, whatever the machine lacks."""

import importlib.util
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from tools.__main__ import COMMANDS, MODULES

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("bash", "dirname", "find", "env", "id")
pytestmark = pytest.mark.skipif(os.name != "posix", reason=".ci/run is a bash script")


@pytest.fixture
def machine(tmp_path):
    """A machine that has only the programs put there; `say` makes one that prints its name and what it was given."""

    def say(name, exit_code=0, text=None):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {text or f'{name} $*'}\nexit {exit_code}\n")
        (tmp_path / name).chmod(stat.S_IRWXU)

    def run():
        environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
        return subprocess.run(
            [ROOT / ".ci" / "run"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    for name in NEEDED:
        (tmp_path / name).symlink_to(shutil.which(name))
    for name in ("git", "python3", "make", "chromium"):
        say(name)
    (tmp_path / ".fonts").mkdir()
    (tmp_path / ".fonts" / "a.ttf").touch()
    (tmp_path / "find").unlink()
    say("find", text=tmp_path / ".fonts" / "a.ttf")
    return tmp_path, say, run


def test_where_nothing_lacks_only_the_tests_run(machine):
    _, _, run = machine
    assert [line for line in run().stdout.splitlines() if not line.startswith("python3")] == [
        "make test"
    ]


def test_what_lacks_is_installed_where_we_are_root(machine):
    folder, say, run = machine
    (folder / "chromium").unlink()
    say("apt-get")
    (folder / "id").unlink()
    say("id", text=0)
    lines = run().stdout.splitlines()
    assert lines[-3:] == [
        "apt-get update -qq",
        "apt-get install -y -qq --no-install-recommends chromium",
        "make test",
    ]


@pytest.mark.parametrize(("apt", "user"), [(None, 0), ("works", 1000), ("broken", 0)])
def test_where_nothing_can_be_installed_one_line_says_so_and_the_tests_run(machine, apt, user):
    folder, say, run = machine
    (folder / "chromium").unlink()
    (folder / "id").unlink()
    say("id", text=user)
    if apt:
        say("apt-get", exit_code=int(apt == "broken"))
    lines = run().stdout.splitlines()
    assert re.search(r"chromium.*Going on without", lines[-2])
    assert lines[-1] == "make test"


def test_opengl_in_software_is_installed_where_dpkg_does_not_know_it(machine):
    folder, say, run = machine
    (folder / "dpkg").write_text('#!/bin/sh\n[ "$2" = libgl1 ]\n')
    (folder / "dpkg").chmod(stat.S_IRWXU)
    say("apt-get")
    (folder / "id").unlink()
    say("id", text=0)
    lines = run().stdout.splitlines()
    assert lines[-2:] == [
        "apt-get install -y -qq --no-install-recommends libegl1 libgl1-mesa-dri",
        "make test",
    ]


def test_the_tests_exit_code_is_the_run_s(machine):
    _, say, run = machine
    say("make", exit_code=2)
    assert run().returncode == 2


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name
)
def test_a_workflow_reads_and_pins_its_actions_by_major_version(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert workflow["permissions"] == {"contents": "read"}
    assert all(
        re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step
    )
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_the_tests_run_on_every_push_the_book_on_main_and_the_slow_ones_weekly():
    def of(name):
        workflow = yaml.safe_load(
            (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
        )
        return workflow[True], {
            job: [step["run"] for step in found["steps"] if "run" in step]
            for job, found in workflow["jobs"].items()
        }

    when, commands = of("test.yml")  # YAML 1.1 reads `on` as true
    assert set(when) == {"push", "pull_request"} and commands == {
        "test": [".ci/run"],
        "book": ["make book"],
    }
    when, commands = of("weekly.yml")
    assert (
        "schedule" in when
        and commands["pythons"] == [".ci/run"]
        and commands["slow"] == [".ci/run", "make slow"]
    )


def test_every_command_of_the_makefile_has_its_module():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = set(re.findall(r"-m tools (\w+)", makefile))
    assert called <= set(COMMANDS)
    for command in set(COMMANDS) - {"env", "lock"}:
        assert importlib.util.find_spec(MODULES.get(command, f"tools.{command}")), (
            f"python -m tools {command} runs no module"
        )
