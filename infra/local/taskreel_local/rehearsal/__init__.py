"""Many jobs of many users in virtual time, through the product's own use cases and queues."""
