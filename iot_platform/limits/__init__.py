"""Plausibility limits: which readings L2 accepts, by energy and by time. A changed limit invalidates days."""
