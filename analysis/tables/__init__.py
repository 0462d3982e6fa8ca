"""Tables and figures over several runs, as in the paper: what is counted, how it is laid out, how it is written."""
