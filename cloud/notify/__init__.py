"""Messages to people: a durable outbox in the relational store, a sender, and the channels it speaks."""
