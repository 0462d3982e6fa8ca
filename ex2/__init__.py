"""EX2: which words does a vision-language model reward, and are they about what it sees?"""

__version__ = "0.1.0"
