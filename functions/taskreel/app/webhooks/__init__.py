"""Client webhooks: endpoints, their deliveries, and the sending of them."""
