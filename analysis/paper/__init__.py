"""`ex2 tables`: the paper's tables and figures over runs."""
