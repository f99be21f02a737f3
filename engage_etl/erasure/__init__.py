"""One person is erased from everything that is kept: GDPR article 17 (decision 0017)."""
