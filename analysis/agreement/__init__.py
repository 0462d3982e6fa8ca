"""`ex2 agreement`: do judge and people agree, and what are the shares worth."""
