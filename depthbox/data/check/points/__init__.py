"""Check of the points of objects, and the points that a report draws."""
