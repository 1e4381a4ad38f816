"""Kill -9, again and again: does every accepted reading arrive exactly once, and does every day prove?"""
