"""What people type: one click command per file."""
