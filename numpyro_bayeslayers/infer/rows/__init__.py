"""The rows of a model: its arguments, what depends on them, and where they are placed."""
