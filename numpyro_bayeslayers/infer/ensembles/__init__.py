"""Ensembles fitted in one compiled program: modes, variational fits, chains; predictions."""
