"""`ex2 label FOLDER --questions`: a page on which a person writes yes/no questions about images."""
