"""The training loop of all fits: programs, minibatches, early stopping, checkpoints."""
