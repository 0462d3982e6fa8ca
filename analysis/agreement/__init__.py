"""`ex2 agreement`: how far judge and people agree, and what that says about the shares."""
