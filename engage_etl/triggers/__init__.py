"""What starts imports: the drop-folder sensor and the automations file."""
