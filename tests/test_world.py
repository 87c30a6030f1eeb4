"""A world comes back as it was saved, dreams as its parts do, and is refused in one line when anything about it is wrong."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import wmlib as wm
from wmlib import seeds, storage
from wmlib.cli import main
from wmlib.config import MDNRNNConfig, VAEConfig
from wmlib.errors import InputError
from wmlib.models import mdn, mdnrnn, metrics, world
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.vae import VAE
from wmlib.models.world import MDNRNN_FILE, VAE_FILE, WorldModel

BODY = wm.body.get("humanoid")


def made(episodes, seed=0):
    v = VAE.create(BODY, episodes.physics, VAEConfig(z_dim=6, hidden=(16,)), seed=seed)
    return WorldModel(
        BODY,
        v,
        MDNRNN.create(
            BODY, mdnrnn.sequences(v, episodes, 8), MDNRNNConfig(h_dim=12, n_mix=3), seed=seed
        ),
    )


@pytest.fixture(scope="module")
def real():
    return wm.gather(BODY, "mixed", 300, 0)


@pytest.fixture(scope="module")
def small(real):
    return made(real)


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds") / "world"
    small.save(folder, seconds=1.25, command="a test", seed=0)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "world")


def test_a_world_comes_back_bit_for_bit(small, saved, real):
    back = wm.load(saved)
    assert back.vae.fingerprint == small.vae.fingerprint
    assert storage.fingerprint(back.mdnrnn.arrays()) == storage.fingerprint(small.mdnrnn.arrays())
    assert (back.vae.config, back.mdnrnn.config) == (small.vae.config, small.mdnrnn.config)
    assert back.facts["command"] == "a test"
    for a, b in zip(
        small.dream(*part(real), rng=np.random.default_rng(0)),
        back.dream(*part(real), rng=np.random.default_rng(0)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert back.vae.fingerprint == small.vae.fingerprint


def part(real, watched=3, horizon=4):
    windows = real.windows(watched + horizon)
    states, action = windows.states[:5], windows.action[:5]
    return states[:, : watched + 1], action[:, :watched], action[:, watched:]


def test_the_same_world_is_saved_as_the_same_bytes(small, saved, tmp_path):
    small.save(tmp_path / "again", seconds=9.0)
    for name in (VAE_FILE, MDNRNN_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_watching_and_dreaming_follow_the_index_convention(small, real):
    obs, before, action = part(real)
    z = small.vae.encode(obs)[0]
    state = small.mdnrnn.start(len(z))
    for t in range(before.shape[1]):  # h[t+1] = M(z[t], action[t], h[t])
        _, state = small.mdnrnn.step(z[:, t], before[:, t], state)
    _, now, *watched = small.watch(obs, before)
    np.testing.assert_array_equal(now, z[:, -1])
    np.testing.assert_allclose(watched[0], np.asarray(state[0]), atol=1e-6)
    dream = small.open_loop(small.watch(obs, before), action)
    prediction, _ = small.mdnrnn.step(now, action[:, 0], tuple(watched))
    np.testing.assert_allclose(
        dream.states[1][:, 0], np.asarray(mdn.mean(prediction.mixture)), atol=1e-6
    )
    assert dream.obs.shape == (5, 4, BODY.physics_dim)
    assert dream.reward.shape == dream.done.shape == (5, 4)
    assert ((dream.done > 0) & (dream.done < 1)).all()
    assert BODY.poses(dream.obs[0]).shape == (4, BODY.model.nq)


def test_a_dream_is_its_noise_and_its_temperature(small, real):
    now = small.init(real.physics[:6])
    action = np.zeros((6, 5, BODY.a_dim), np.float32)
    dreams = [
        small.open_loop(now, action, tau=tau, rng=np.random.default_rng(seed)).states[1]
        for tau, seed in ((1.0, 0), (1.0, 0), (1.0, 1), (0.0, 0), (0.0, 1))
    ]
    assert np.array_equal(dreams[0], dreams[1])
    assert not np.array_equal(dreams[0], dreams[2])
    assert np.array_equal(dreams[3], dreams[4])
    whole, first = small.open_loop(now, action), small.open_loop(now, action[:, :2])
    again = small.open_loop(tuple(part[:, -1] for part in first.states), action[:, 2:])
    np.testing.assert_allclose(np.concatenate([first.obs, again.obs], axis=1), whole.obs, atol=1e-5)


def mend(folder, name, data):
    """Replaces a file and mends its manifest, so that only the content is wrong."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": storage.sha256(data)}
    (folder / storage.MANIFEST).write_text(json.dumps(manifest))


def reweighted(folder, name, change, settings=None):
    data = (folder / name).read_bytes()
    arrays, (_, about) = storage.from_bytes(data, name), storage.header(data, name)
    change(arrays)
    mend(folder, name, storage.to_bytes(arrays, {**about, **(settings or {})}))


def in_manifest(**changed):
    def damage(folder):
        path = folder / storage.MANIFEST
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    return damage


def flip_a_bit(folder):
    data = bytearray((folder / MDNRNN_FILE).read_bytes())
    data[-9] ^= 1
    (folder / MDNRNN_FILE).write_bytes(data)


def of_another_v(folder):
    other = made(wm.gather(BODY, "mixed", 300, 0), seed=1)
    mend(folder, MDNRNN_FILE, other.files()[MDNRNN_FILE])


def huge(folder):
    data = (folder / VAE_FILE).read_bytes()
    mend(folder, VAE_FILE, (2**62).to_bytes(8, "little") + data[8:])


DAMAGES = {
    "a flipped bit": (flip_a_bit, "does not match the sha256"),
    "a truncated file": (
        lambda f: (f / VAE_FILE).write_bytes((f / VAE_FILE).read_bytes()[:-1]),
        "truncated or altered",
    ),
    "a missing file": (lambda f: (f / MDNRNN_FILE).unlink(), "is missing"),
    "no manifest": (lambda f: (f / storage.MANIFEST).unlink(), "has no manifest.json"),
    "another schema": (in_manifest(schema=99), "has schema 99; this wmlib reads schema 1"),
    "another kind": (
        in_manifest(kind="episodes"),
        "holds 'episodes'; expected 'world'|holds 'episodes'",
    ),
    "another body": (in_manifest(body="half_cheetah"), r"expected \(17, 16\)|has shape"),
    "no such body": (in_manifest(body="../humanoid"), "There is no body"),
    "another V's M": (of_another_v, "was trained on the codes of another V"),
    "another V named": (in_manifest(vae="0" * 64), "is not the V that the manifest names"),
    "a changed weight of V": (
        lambda f: reweighted(f, VAE_FILE, lambda a: a["encoder.0.bias"].__iadd__(1)),
        "is not the V that the manifest names|another V",
    ),
    "a wrong shape": (
        lambda f: reweighted(
            f, VAE_FILE, lambda a: a.update({"encoder.0.bias": np.zeros(3, np.float32)})
        ),
        "has shape",
    ),
    "a wrong type": (
        lambda f: reweighted(f, VAE_FILE, lambda a: a.update({"encoder.0.bias": np.zeros(16)})),
        "type F64; expected",
    ),
    "a lost array": (
        lambda f: reweighted(f, VAE_FILE, lambda a: a.pop("encoder.0.bias")),
        "has no array 'encoder.0.bias'",
    ),
    "a strange array": (
        lambda f: reweighted(f, VAE_FILE, lambda a: a.update(extra=np.zeros(1, np.float32))),
        "has an array 'extra'",
    ),
    "NaN weights": (
        lambda f: reweighted(f, VAE_FILE, lambda a: a["encoder.0.bias"].__imul__(np.nan)),
        "NaN or infinity",
    ),
    "another z_dim": (lambda f: reweighted(f, VAE_FILE, lambda a: None, {"z_dim": 7}), "has shape"),
    "an absurd size": (
        lambda f: reweighted(f, VAE_FILE, lambda a: None, {"z_dim": 10**12}),
        "'z_dim' in .* is 1000000000000",
    ),
    "a wrong setting": (
        lambda f: reweighted(f, VAE_FILE, lambda a: None, {"hidden": ["a"]}),
        "'hidden' in",
    ),
    "a setting too many": (
        lambda f: reweighted(f, VAE_FILE, lambda a: None, {"colour": 1}),
        "'colour', which this wmlib does not know",
    ),
    "a view that is not": (
        lambda f: reweighted(f, VAE_FILE, lambda a: None, {"view": "pixels"}),
        "no view 'pixels'",
    ),
    "not safetensors": (
        lambda f: mend(f, VAE_FILE, b"these are not weights"),
        "cannot be read as safetensors",
    ),
    "an empty file": (lambda f: mend(f, VAE_FILE, b""), "cannot be read as safetensors"),
    "a header without end": (huge, "cannot be read as safetensors"),
    "a pickle": (
        lambda f: mend(
            f, VAE_FILE, b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94."
        ),
        "cannot be read as safetensors",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_world_is_refused_in_one_line(folder, damage):
    spoil, message = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        wm.load(folder, "world")
    assert "\n" not in str(caught.value)


def test_the_command_line_says_so_too(folder, capsys):
    flip_a_bit(folder)
    assert main(["measure", "--world", str(folder), "--data", "humanoid-mixed"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("wmlib: ") and error.count("\n") == 1


def test_nothing_is_overwritten(small, folder):
    with pytest.raises(InputError, match="exists already"):
        small.save(folder, seconds=1)


def test_epochs_come_back_and_belong_to_their_world(small, real, tmp_path):
    snapshots = {
        0: small.mdnrnn.params,
        5: {name: value + 1 for name, value in small.mdnrnn.params.items()},
    }
    world.Epochs(small, snapshots).save(tmp_path / "epochs", seconds=1)
    back = world.load_epochs(small, tmp_path / "epochs")
    assert sorted(back) == [0, 5]
    np.testing.assert_array_equal(back[5].mdnrnn.params["lstm.bias"], snapshots[5]["lstm.bias"])
    with pytest.raises(InputError, match="another V"):
        world.load_epochs(made(real, seed=1), tmp_path / "epochs")


def test_where_no_episode_lasts_so_long_the_ratio_is_not_known_and_nothing_is_warned_of(small):
    brief = wm.episodes.Episodes.of(
        BODY, wm.rollout(BODY, wm.policies.RandomActions(BODY), range(3), max_steps=7)
    )
    ratio = metrics.open_loop_error(
        small.vae, brief, lambda obs, before, action: np.repeat(obs[:, -1:], 6, axis=1), horizon=6
    ).ratio()
    assert np.allclose(ratio[:3], 1) and np.isnan(ratio[3:]).all()


def test_a_perfect_dream_has_no_error_and_one_that_copies_has_copy_lasts(small, real):
    starts = [(episode, first) for episode in real for first in range(0, len(episode) - 4, 4)]

    def truth(obs, before, action):
        rows = []
        for i, (episode, first) in enumerate(starts):
            states = BODY.physics(episode.qpos, episode.qvel)
            np.testing.assert_array_equal(obs[i], states[first : first + 5])
            np.testing.assert_array_equal(before[i], episode.action[first : first + 4])
            ahead = states[first + 5 : first + 11]
            np.testing.assert_array_equal(
                action[i, : len(ahead)], episode.action[first + 4 : first + 10]
            )
            rows.append(np.concatenate([ahead, np.full((6 - len(ahead), BODY.physics_dim), 99.0)]))
        return np.stack(rows)

    perfect = metrics.open_loop_error(small.vae, real, truth, horizon=6)
    assert perfect.error().max() == 0
    copying = metrics.open_loop_error(
        small.vae, real, lambda obs, before, action: np.repeat(obs[:, -1:], 6, axis=1), horizon=6
    )
    np.testing.assert_allclose(copying.ratio(), 1.0)
    assert copying.survivors.tolist() == [
        sum(len(episode) - first - 4 >= k for episode, first in starts) for k in range(1, 7)
    ]


def test_r2_is_one_for_truth_and_zero_for_the_mean(small, real, monkeypatch):
    v = dataclasses.replace(small.vae)
    monkeypatch.setattr(VAE, "reconstruct", lambda self, obs, rng=None: obs)
    assert all(np.all(values == 1) for values in metrics.reconstruction_r2(v, real).values())
    monkeypatch.setattr(
        VAE, "reconstruct", lambda self, obs, rng=None: np.broadcast_to(self.mean, obs.shape)
    )
    assert all(np.allclose(values, 0) for values in metrics.reconstruction_r2(v, real).values())


def test_the_report_has_its_rows(small, real):
    text = metrics.report(small, real, horizon=10)
    for word in ("qpos", "qvel", "KL", "survivors", "copy-last", "at k = 10"):
        assert word in text


def test_seeds_are_kept_as_stretches():
    assert seeds.spans([5, 3, 4, 9, 9]) == ((3, 5), (9, 9))
    assert seeds.spans([6], [(9, 12), (0, 5), (11, 20)]) == ((0, 6), (9, 20))
    assert seeds.spans([]) == ()
    assert seeds.within([2, 3, 9, 21], ((3, 5), (9, 20))) == [3, 9]


def test_what_a_world_was_trained_on_is_refused_as_a_measure_of_it(tmp_path, monkeypatch, capsys):
    """V and M may stand on different episodes: the world knows both."""
    monkeypatch.chdir(tmp_path)
    for n in range(3):
        wm.gather(BODY, "mixed", 300, n, f"data-{n}")
    tiny = ["--epochs", "1", "--batch-size", "64"]
    assert main(["train-vae", "--data", "data-0", "--out", "v", "--z-dim", "4", *tiny]) == 0
    words = ["--vae", "v", "--data", "data-1", "--h-dim", "4", "--length", "8", "--out", "w"]
    assert main(["train-mdnrnn", *words, *tiny]) == 0
    parts = [wm.load(f"data-{n}") for n in range(3)]
    v, of = wm.load("v"), wm.load("w")
    assert v.training_seeds == ((0, len(parts[0]) - 1),)
    known = {seed for low, high in of.vae.training_seeds for seed in range(low, high + 1)}
    assert known == {*parts[0].seeds.tolist(), *parts[1].seeds.tolist()}
    still = lambda obs, before, action: np.repeat(obs[:, -1:], action.shape[1], axis=1)
    for part in parts[:2]:
        with pytest.raises(InputError, match=f"first {part.seeds[0]}; what it knows by heart"):
            metrics.open_loop_error(of.vae, part, still)
        with pytest.raises(InputError, match="seeds that the model was trained on"):
            metrics.reconstruction_r2(of.vae, part.select([0]))
    metrics.open_loop_error(of.vae, parts[2], still)
    metrics.reconstruction_r2(v, parts[1])
    capsys.readouterr()
    assert main(["measure", "--world", "w", "--data", "data-0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["measure", "--world", "w", "--data", "data-2"]) == 0


@pytest.mark.parametrize("wrong", [7, [7], [[1, 2, 3]], [["a", "b"]], {"a": 1}])
def test_training_seeds_that_cannot_be_read_are_one_line(folder, wrong):
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    (folder / storage.MANIFEST).write_text(json.dumps({**manifest, "training_seeds": wrong}))
    with pytest.raises(InputError, match="are no pairs of whole numbers"):
        wm.load(folder)
