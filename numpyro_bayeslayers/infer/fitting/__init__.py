"""`fit`, which fits a model to data in one call, and its methods."""
