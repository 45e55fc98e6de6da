"""One module a kind: a device with a body, a language and a transport."""
