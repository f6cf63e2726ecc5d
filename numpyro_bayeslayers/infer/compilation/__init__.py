"""Programs: traced, compiled with suitable effort or evaluated by NumPy, and kept."""
