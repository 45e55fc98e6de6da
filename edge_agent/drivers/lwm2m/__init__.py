"""The LwM2M server: registrations, observations, and what waits for a client that sleeps."""
