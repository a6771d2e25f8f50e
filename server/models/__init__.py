"""The model that is served: loaded, found and swapped as versions come, or refused."""
