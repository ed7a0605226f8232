"""Meta-architectures; importing registers them with Detectron2."""
