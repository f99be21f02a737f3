"""Report files, summaries and sample tables."""
