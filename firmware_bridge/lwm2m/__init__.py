"""LwM2M 1.0 and 1.1 as a server speaks it: payloads, objects, registrations, requests (OMA-TS-LightweightM2M)."""
