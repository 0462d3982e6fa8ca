"""Watching a policy's training: signs of reward hacking, rules that warn or stop, the KL, progress."""
