"""What marks the assignment on the autopsy. The numbers come from the course's seed, so that this page tells none."""

from pathlib import Path

import numpy as np

from wmlib.classroom.marking import Case, load

choices = load(Path(__file__).with_name("choices.py")).choices


def price_list(answer, rng):
    """Commands within the box, and far beyond it."""
    for what, limit, motors in [
        ("commands in the box", 0.4, 17),
        ("commands beyond the box", float(rng.uniform(0.7, 1.2)), 17),
        ("a body with few motors", float(rng.uniform(1.3, 2)), 6),
    ]:
        L = float(rng.uniform(15, 45))
        bonus, square = 5 * (1 - 1 / L), limit**2 / 3
        right = bonus - 0.1 * motors * square
        slips = {
            "The step of the fall pays no bonus.": 5 - 0.1 * motors * square,
            "Commands are drawn evenly: the mean of their squares is a third of the largest.": bonus
            - 0.1 * motors * limit**2,
            "The cost is of squares, not of sizes.": bonus - 0.1 * motors * limit / 2,
            "The mean of squares is more than the square of the mean size.": bonus
            - 0.1 * motors * (limit / 2) ** 2,
            "Every motor costs.": bonus - 0.1 * square,
            "Per step, not for the episode.": right * L,
            "A cost is taken away.": bonus + 0.1 * motors * square,
            "The price of a square is 0.1.": bonus - motors * square,
            "One step of L pays no bonus: L - 1 do.": 5 * L / (L + 1)
            - 0.1 * motors * square,
        }
        if limit > 0.4:
            clipped = (0.4**3 / 3 + 0.4**2 * (limit - 0.4)) / limit
            slips[
                "The bill is for what was sent; that the motors clip it changes nothing."
            ] = bonus - 0.1 * motors * clipped
        yield Case(
            what,
            right,
            lambda limit=limit, L=L, motors=motors: answer(limit, L, motors),
            "5 for all steps but the last, less 0.1 for each motor's mean square.",
            slips,
        )


def crossing_share(answer, rng):
    """Long episodes, short ones, and a window longer than some of them."""
    for what, low, high, window in [
        ("long episodes", 15, 40, 10),
        ("short episodes", 4, 16, 8),
        ("a window longer than most", 5, 12, 11),
    ]:
        L = rng.integers(low, high, 12)
        L[:2] = low, high
        N, E, w = int(L.sum()), len(L), window
        inside, total = np.maximum(0, L - w + 1).sum(), N - w + 1
        owner = np.repeat(np.arange(E), L)
        apart = np.mean([owner[i] != owner[i + w - 1] for i in range(0, total, w)])
        slips = {
            "That is the share that stays inside.": inside / total,
            "A window in an episode of L rows can begin at L - w + 1 of them.": 1
            - np.maximum(0, L - w).sum() / total,
            "N rows hold N - w + 1 windows, not N.": 1 - inside / N,
            "The last seam is no seam: nothing follows the last episode.": E
            * (w - 1)
            / total,
            "Windows begin at every row, not one after the other.": float(apart),
            "Windows count, not episodes.": np.mean(w > L),
            "Episodes have different numbers of windows: count them all before you divide.": np.mean(
                np.minimum(1, (w - 1) / L)
            ),
            "N rows hold N - w + 1 windows: the last begins at row N - w.": 1
            - inside / (N - w),
            "A count is asked to be divided by all windows: a share.": float(
                total - inside
            ),
            "A window of w rows touches the next episode from w - 1 places only.": min(
                1.0, (E - 1) * w / total
            ),
        }
        if L.min() < w - 1:
            slips[
                "An episode shorter than a window holds none, and not less than none."
            ] = 1 - (L - w + 1).sum() / total
        yield Case(
            what,
            1 - inside / total,
            lambda L=L, window=window: answer(L.copy(), window),
            "All windows, less those that fit into one episode, over all windows.",
            slips,
        )


def pose(answer, rng):
    """Observations of a real body, and decoded ones, whose quaternion is not of length 1."""
    for what, n, off in [
        ("one observation", 1, 0.3),
        ("many decoded observations", 9, 0.6),
    ]:
        obs = rng.normal(size=(n, 348))
        turn = obs[:, 1:5]
        obs[:, 1:5] *= (1 + off * rng.uniform(0.5, 1, (n, 1))) / np.linalg.norm(
            turn, axis=1, keepdims=True
        )
        qpos, qvel, none = obs[:, :22].copy(), obs[:, 22:45], np.zeros((n, 2))
        raw = qpos.copy()
        size = np.linalg.norm(qpos[:, 1:5], axis=1, keepdims=True)
        qpos[:, 1:5] /= size

        def scaled(where, by, raw=raw):
            made = raw.copy()
            made[:, where] = made[:, where] / by(made[:, where])
            return made

        length = lambda part: np.linalg.norm(part, axis=1, keepdims=True)
        join = lambda *parts: np.concatenate(parts, axis=1)
        slips = {
            "An observation begins at qpos[2]: that is the report's cut.": join(
                obs[:, :24], obs[:, 24:47]
            ),
            "x and y come first in qpos, and the observation lacks them.": join(
                qpos, none, qvel
            ),
            "The velocities begin at number 22 of the observation.": join(
                none, qpos, obs[:, 24:47]
            ),
            "First the positions, then the velocities.": join(qvel, none, qpos),
            "qpos has 24 numbers: put x and y where they belong.": join(qpos, qvel),
            "Nothing is skipped: qpos[2] is number 0 of the observation.": join(
                none, obs[:, 2:24], qvel
            ),
            "A decoded quaternion has any length: divide it by its own.": join(
                none, raw, qvel
            ),
            "Only the quaternion has length 1.": join(
                none, scaled(slice(0, 22), length), qvel
            ),
            "The quaternion follows the height: numbers 1 to 4 of the observation.": join(
                none, scaled(slice(0, 4), length), qvel
            ),
            "Divide by the length, not by its square.": join(
                none,
                scaled(slice(1, 5), lambda part: (part**2).sum(1, keepdims=True)),
                qvel,
            ),
            "The quaternion has four numbers.": join(
                none, scaled(slice(1, 4), length), qvel
            ),
            "The numbers of a quaternion are squared before they are added.": join(
                none,
                scaled(slice(1, 5), lambda part: np.abs(part).sum(1, keepdims=True)),
                qvel,
            ),
        }
        if n > 1:
            slips["Each state has a quaternion of its own."] = join(
                none, scaled(slice(1, 5), np.linalg.norm), qvel
            )
        yield Case(
            what,
            join(none, qpos, qvel),
            lambda obs=obs: answer(obs.copy()),
            "Two zeros, 22 positions with the quaternion at length 1, 23 velocities.",
            slips,
        )


def memory_shift(answer, rng):
    """A small memory and a large one."""
    for what, Z, H, n in [("a small memory", 4, 6, 10), ("a large memory", 8, 40, 25)]:
        A, half = 5, float(rng.uniform(0.3, 0.7))
        W, b = rng.normal(0, 0.3, (A, Z + H)), rng.normal(0.4, 0.3, A)
        z, h = rng.normal(size=(n, Z)), np.tanh(rng.normal(0.3, 0.7, (n, H)))
        seen, kept = z @ W[:, :Z].T + b, h @ W[:, Z:].T
        moved = half * (np.tanh(seen + kept) - np.tanh(seen))
        rms = lambda v: np.sqrt(np.mean(v**2))
        other = h @ W[:, :H].T + b
        slips = {
            "Root of the mean square, not the mean size.": np.mean(np.abs(moved)),
            "The features are z first, then h.": rms(
                half * (np.tanh(z @ W[:, H:].T + other) - np.tanh(z @ W[:, H:].T + b))
            ),
            "Commands differ, not what goes into the tanh.": rms(half * kept),
            "tanh is bent: the memory's part cannot be sent through it alone.": rms(
                half * np.tanh(kept)
            ),
            "The mean over steps and motors, not the worst.": np.abs(moved).max(),
            "Differences of both signs cancel: square them first.": abs(moved.mean()),
            "The mean over motors, too, not their sum.": rms(
                np.linalg.norm(moved, axis=1)
            ),
            "In units of the box: half its width times tanh.": rms(moved / half),
            "The bias is missing: it says where on the tanh we are.": rms(
                half * (np.tanh(seen - b + kept) - np.tanh(seen - b))
            ),
            "Take the root.": np.mean(moved**2),
            "The memory is switched on, not the code.": rms(
                half * (np.tanh(seen + kept) - np.tanh(kept + b))
            ),
        }
        call = lambda W=W, b=b, z=z, h=h, half=half: answer(
            W.copy(), b.copy(), z.copy(), h.copy(), half
        )
        yield Case(
            what,
            rms(moved),
            call,
            "Commands with h, less commands with 0 in its place; square, mean, root.",
            slips,
        )


def paired_effect(answer, rng):
    """Few seeds that differ much, with a small effect in each."""
    for what, S, E, t in [("three seeds", 3, 20, 4.303), ("five seeds", 5, 12, 2.776)]:
        level = rng.normal(200, 60, (S, 1))
        before = level + rng.normal(0, 25, (S, E))
        after = level + rng.normal(25, 8, (S, 1)) + rng.normal(0, 25, (S, E))
        d = after.mean(1) - before.mean(1)
        half = t * d.std(ddof=1) / np.sqrt(S)
        pair = lambda mean, half: np.array([mean, half])
        pool = (after - before).ravel()
        a, b = after.mean(1), before.mean(1)
        slips = {
            "The unit is the training seed: average its episodes first.": pair(
                d.mean(), t * pool.std(ddof=1) / np.sqrt(S * E)
            ),
            "Both had the same seed: take the difference of each pair first.": pair(
                d.mean(), t * np.sqrt(a.var(ddof=1) / S + b.var(ddof=1) / S)
            ),
            "The deviation of few numbers has S - 1 below.": pair(
                d.mean(), t * d.std() / np.sqrt(S)
            ),
            "The mean of S differences is surer than one: divide by the root of S.": pair(
                d.mean(), t * d.std(ddof=1)
            ),
            "With so few seeds 1.96 is too small: use the t that is given.": pair(
                d.mean(), 1.96 * d.std(ddof=1) / np.sqrt(S)
            ),
            "What mending adds: mended less reported.": pair(-d.mean(), half),
            "Half the width is asked for.": pair(d.mean(), 2 * half),
            "Divide by the root of S, not by S.": pair(d.mean(), t * d.std(ddof=1) / S),
            "t is missing: one standard error is not an interval.": pair(
                d.mean(), d.std(ddof=1) / np.sqrt(S)
            ),
            "The mean of the seeds, not the middle one.": pair(np.median(d), half),
            "How wide the differences lie, not the mended ones.": pair(
                d.mean(), t * a.std(ddof=1) / np.sqrt(S)
            ),
            "No seed may be left out, least of all the best.": pair(d.max(), half),
        }
        call = lambda before=before, after=after, t=t: answer(
            before.copy(), after.copy(), t
        )
        yield Case(
            what,
            pair(d.mean(), half),
            call,
            "Mean of each seed, difference of each pair; their mean, and t times deviation over the root of S.",
            slips,
        )


def cause_of_death(answer, rng):
    """Four findings."""
    yield from choices(answer, {
        "bill": ("C", {
            "A": "The torque is the same: it was clipped all along.",
            "B": "The film is the same, so the length is, too.",
            "D": "The film is the same, frame by frame: no luck is in it.",
        }),
        "cover": ("A", {
            "B": "A right line stays right when another mistake hides behind it.",
            "C": "More seeds narrow the interval; it does not reach 0 as it is.",
            "D": "The interval leaves 0 out: for this set-up it is decided.",
        }),
        "silent": ("D", {
            "A": "An M trained on the wrong pairs has a loss that falls as well.",
            "B": "More wrong pairs are still wrong.",
            "C": "The reward is nearly all bonus: it does not see M.",
        }),
        "record": ("B", {
            "A": "The maximum of a population has luck on its side, not against it.",
            "C": "A mean would be right; the maximum is not a mean.",
            "D": "The more candidates, the luckier the best of them.",
        }),
    })  # fmt: skip
