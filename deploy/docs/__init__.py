"""Documentation drawn from the code."""
