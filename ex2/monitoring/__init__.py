"""What is watched while a policy is trained: signs of reward hacking, rules, the KL, progress."""
