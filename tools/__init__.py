"""What makes, checks and ships the book. Not part of `wmlib`; run as `python -m tools COMMAND`."""
