"""The challenge kpis."""
