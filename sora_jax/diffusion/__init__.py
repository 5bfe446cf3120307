"""Flow matching as pure mathematics: the path, conditions, solvers, guidance."""
