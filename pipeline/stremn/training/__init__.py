"""One training loop for every task: checkpoints, resume, weight averaging, curves."""
