"""`fit`, a model and its data in one call, and the methods that it knows."""
