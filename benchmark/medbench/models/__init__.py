"""Models: one file a paper, shared parts in ``blocks``, one card of facts a family in ``cards``."""
