"""Members fitted as one program: modes, variational posteriors, chains; prediction."""
