"""Stage 1: a file arrives, its bytes are kept, its format is found out."""
