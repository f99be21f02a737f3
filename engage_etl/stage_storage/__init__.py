"""What the stages of an import keep for each other: in a folder here, or in a bucket that every machine reaches."""
