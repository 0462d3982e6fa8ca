"""Running code that a language model wrote: what keeps it apart from this machine, and what it may draw with."""
