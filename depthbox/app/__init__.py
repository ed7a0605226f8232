"""A page to try a trained network: a picture in, boxes or none, masks out."""
