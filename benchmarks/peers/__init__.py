"""Other programs that do some of what an import does, each as a process of its own, written as their manuals advise."""

DLT_SCHEMA = "by_dlt"
"""Schema of dlt's table ``contact``, which has a column for each of a file, custom attributes among them."""
