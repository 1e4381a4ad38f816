"""The layers: what each one is, how a day of it is proved and rebuilt, and a summary of all."""
