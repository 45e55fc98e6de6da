"""What the carriers' platforms push: OneNET of China Mobile and CTWing (AEP) of China Telecom."""
