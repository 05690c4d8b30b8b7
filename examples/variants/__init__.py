"""Operation modules with a planted fault each, to see that it is found: `GNOMON_OPERATIONS=examples.variants.NAME`.

The memory systems have no switch for a fault; a variant wraps the enhanced one and registers the same operations.
"""
