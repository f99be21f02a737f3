"""Stage 2: the bytes of a file become valid rows and rejected rows with reasons."""
