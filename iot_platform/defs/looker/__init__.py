"""What Looker makes of the marts: view, explore and dashboard as assets, with checks that prove the LookML."""
