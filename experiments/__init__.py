"""What makes the rows of `data/results`: one command a row, `python -m tools NAME`."""
