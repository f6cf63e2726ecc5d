"""The loop that every fit runs: programs, minibatches, early stopping, checkpoints."""
