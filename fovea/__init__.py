"""What Fovea's trainer, server and scorer share, and the client that calls them."""
