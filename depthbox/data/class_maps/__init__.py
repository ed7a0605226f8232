"""Sources of class maps: the class of each pixel, from files or computed from points."""
