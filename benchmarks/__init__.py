"""How long imports take, beside hand-written SQL and other tools, in one run on one server; see README.md."""
