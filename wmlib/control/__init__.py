"""C, NumPy only: the controller, the strategies that evolve it, and its evolution on the real body."""
