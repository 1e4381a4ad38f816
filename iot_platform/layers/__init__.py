"""The layers: their definitions, proofs, rebuilds and summary, and what definitions depend on."""
