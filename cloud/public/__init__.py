"""What everybody may see without an account: public toilets, their finder and the screens at their doors."""
