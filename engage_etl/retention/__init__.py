"""What is removed of old imports, and when (R42): counts and history outlive it."""
