"""Stage 4: the plan is applied in one transaction, and recorded."""
