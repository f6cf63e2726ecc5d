"""Fitting, in three floors: pure functions, objects like `SVI`, and one-shot functions."""

__all__: list[str] = []
