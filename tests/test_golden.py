"""What every stage of the command line makes from fixed seeds, array by array, does not move when code moves.

Between machines the last bits of a trained array differ, so sums are compared to a tolerance. With WM_GOLDEN=bits (before and after a
change, on one machine) every bit is. `WM_GOLDEN=accept pytest tests/test_golden.py -m slow` makes today's numbers the golden ones.
"""

import csv
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from test_kills import STAGES, made  # noqa: F401  a fixture

from wmlib.cli import main
from wmlib.control import strategies
from wmlib.storage import SPENT

GOLDEN = Path(__file__).with_name("golden_stages.json")
HOW = os.environ.get("WM_GOLDEN", "")
LEARNER = [
    "train-controller",
    "--steps",
    "900",
    "--popsize",
    "6",
    "--max-steps",
    "20",
    "--check-episodes",
    "0",
    "--out",
    "out",
]
COMMANDS = {
    **{name: words for name, words in STAGES.items() if name != "evaluate"},
    **{
        f"three generations of {name}": [*LEARNER, "--strategy", name]
        for name in strategies.STRATEGIES
    },
    "iterate in V and M": [*STAGES["iterate"], "--model", "world", "--features", "z"],
}
pytestmark = pytest.mark.slow


def numbers(array):
    """Shape, type, sum, sum of squares, and the hash of every bit."""
    wide = np.asarray(array, np.float64)
    return {"shape": list(array.shape), "type": str(array.dtype), "sum": float(wide.sum()), "squares": float((wide**2).sum()),
            "sha256": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}  # fmt: skip


def arrays(folder):
    """Every array that a command left, by file and name, and the numbers of its tables."""
    found = {}
    for path in sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors":
            found |= {f"{name}:{key}": numbers(array) for key, array in load_file(path).items()}
        elif path.suffix == ".npz":
            with np.load(path) as file:
                found |= {
                    f"{name}:{key}": numbers(file[key])
                    for key in file.files
                    if file[key].dtype.kind in "fiub"
                }
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                rows = [
                    {key: value for key, value in row.items() if key not in SPENT}
                    for row in csv.DictReader(file)
                ]
            found[name] = numbers(
                np.array(
                    [
                        float(value)
                        for row in rows
                        for value in row.values()
                        if value.replace(".", "").replace("-", "").isdigit()
                    ]
                )
            )
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_stage_makes_what_it_made(name, made, tmp_path, monkeypatch):  # noqa: F811
    place = made / f"golden {name}"
    place.mkdir()
    monkeypatch.chdir(place)
    assert main(COMMANDS[name]) == 0
    now, kept = arrays(place), json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    assert now
    if HOW == "accept":
        GOLDEN.write_text(json.dumps({**kept, name: now}, indent=1, sort_keys=True) + "\n")
        return
    then = kept[name]
    assert now.keys() == then.keys()
    for key, one in now.items():
        assert (one["shape"], one["type"]) == (then[key]["shape"], then[key]["type"]), key
        if HOW == "bits":
            assert one["sha256"] == then[key]["sha256"], f"{key} moved"
        size = max(1.0, (then[key]["squares"] * max(1, np.prod(one["shape"]))) ** 0.5)
        assert abs(one["sum"] - then[key]["sum"]) <= 1e-3 * size, key
        assert one["squares"] == pytest.approx(then[key]["squares"], rel=1e-2, abs=1e-6), key
