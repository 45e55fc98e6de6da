"""A small city on one machine: broker, cloud, agent and simulated devices, and an account of what they did."""
