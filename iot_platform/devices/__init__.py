"""Device metadata: sources, contract, versions, refresh, and the restatement of the days that a change affects."""
