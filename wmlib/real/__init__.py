"""The real simulator, NumPy and MuJoCo, nothing learned: the body, policies, threaded rollouts, episodes, evaluation. Workers load no more than this."""
