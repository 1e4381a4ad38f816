"""The layers: their definitions, proofs, rebuilds, invalidations, status and summary."""
