"""Point annotations derived from masks."""
