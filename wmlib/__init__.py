"""wmlib: the small library of *Dreaming Up Human Physics*. `import wmlib as wm`, then `wm.body`, `wm.rollout`, ..."""

from wmlib import body, episodes, policies, rollout, runs, scales

__all__ = ["body", "episodes", "policies", "rollout", "runs", "scales"]
__version__ = "0.1.0"
