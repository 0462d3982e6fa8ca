"""PPO, RLOO and GRPO: their mathematics as pure functions, and their trainers."""
