"""Who writes code that draws: each author answers a question by a text, in which the code is found afterwards."""
