"""PPO, RLOO and GRPO: the mathematics as pure functions, and the trainers."""
