"""Meta-architectures; importing a module registers its architecture with Detectron2."""
