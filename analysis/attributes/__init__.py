"""`ex2 attributes`: which attributes informative descriptions name."""
