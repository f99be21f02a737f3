"""Contact imports matched on the external identifier."""
