"""Stage 3: matching, conflicts and the plan, in SQL inside the store."""
