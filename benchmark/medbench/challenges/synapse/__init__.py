"""The challenge synapse."""
